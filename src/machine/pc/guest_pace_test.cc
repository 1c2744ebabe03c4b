#include "machine/pc/guest_pace.h"

#include <gtest/gtest.h>
#include <x86intrin.h>

#include "async/fake_clock.h"
#include "machine/pc/tsc_frequency.h"

namespace rhea::machine {
namespace {

using Source = devices::TickPacer::Source;
constexpr int64_t kMs = 1'000'000;

struct Host final : MachineHost {
  int64_t time = kIdle;
  void request_reset() override {}
  void request_power_off() override {}
  void request_suspend() override {}
  void request_exit(int) override {}
  void kick(unsigned) override {}
  int64_t guest_time_ns() const override { return time; }
};

struct GuestPaceTest : testing::Test {
  cpu::Core core;
  Host host;
  CpuWires cpus{{&core}, host};
  async::FakeClock clock;
  bool connected = true, pending = true;
  GuestPace pace{{.cpus = cpus,
                  .clock = clock,
                  .host = host,
                  .connected = [this](Source) { return connected; },
                  .pending = [this] { return pending; }}};

  // How far the TSC may go from now on, in ms.
  double left() const {
    return static_cast<double>(static_cast<int64_t>(core.tsc_limit - __rdtsc())) * 1000 /
           static_cast<double>(host_tsc_hz());
  }
  bool limited() const { return core.tsc_limit != ~uint64_t{0}; }
};

TEST_F(GuestPaceTest, tsc_waits_behind_a_tick_that_is_late) {
  EXPECT_FALSE(limited());
  pace.expect(Source::Pit, 500 * kMs, 4 * kMs);
  EXPECT_LE(left(), 510);
  EXPECT_GT(left(), 300);
  clock.advance_to(600 * kMs);
  pace.expect(Source::Pit, 504 * kMs, 4 * kMs);
  EXPECT_LE(left(), 0.1);  // not before what has been shown
  EXPECT_GE(left(), -300);
  pace.expect(Source::Pit, devices::TickPacer::kNever, 0);
  EXPECT_FALSE(limited());
}

TEST_F(GuestPaceTest, slow_ticks_and_those_that_reach_nobody_do_not_hold_the_tsc) {
  pace.expect(Source::Pit, 55 * kMs, 55 * kMs);
  EXPECT_FALSE(limited());
  connected = false;
  pace.expect(Source::Hpet, 4 * kMs, 4 * kMs);
  EXPECT_FALSE(limited());
}

TEST_F(GuestPaceTest, an_interrupt_that_waits_is_taken_for_lost_once_the_guest_has_run_or_sleeps) {
  EXPECT_TRUE(pace.taken());
  host.time = 10 * kMs;
  pace.raised();
  EXPECT_FALSE(pace.taken());
  pending = false;
  EXPECT_TRUE(pace.taken());
  pending = true;
  host.time += 10 * kMs;
  EXPECT_TRUE(pace.taken());
  pace.raised();
  EXPECT_FALSE(pace.taken());
  host.time = MachineHost::kIdle;
  EXPECT_TRUE(pace.taken());
}

}  // namespace
}  // namespace rhea::machine
