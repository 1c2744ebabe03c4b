#include "devices/timer/i8254.h"

#include <gtest/gtest.h>

#include "async/fake_clock.h"

namespace rhea::devices {
namespace {

struct Line : bus::IrqSink {
  bool level = false;
  int rises = 0;
  void set_irq(unsigned, bool on) override {
    if (on && !level) ++rises;
    level = on;
  }
};

class I8254Test : public testing::Test {
 protected:
  void ticks(uint64_t n) {
    tick += n;
    clock.advance_to(static_cast<int64_t>((tick * 1'000'000'000 + I8254::kHz - 1) / I8254::kHz));
  }
  void program(unsigned counter, unsigned mode, unsigned count, unsigned bcd = 0) {
    pit.io_write(3, 1, counter << 6 | 0x30 | mode << 1 | bcd);
    pit.io_write(counter, 1, count & 0xff);
    pit.io_write(counter, 1, count >> 8);
  }
  uint64_t read16(unsigned counter) {
    const uint64_t low = pit.io_read(counter, 1);
    return low | pit.io_read(counter, 1) << 8;
  }
  async::FakeClock clock;
  uint64_t tick = 0;
  Line irq;
  I8254 pit{{.clock = clock, .irq0 = bus::IrqLine(irq, 0)}};
};

TEST_F(I8254Test, rate_generator_interrupts_every_period) {
  program(0, 2, 1000);
  irq.rises = 0;
  ticks(999);
  EXPECT_EQ(irq.rises, 0);
  ticks(1);
  EXPECT_EQ(irq.rises, 1);
  ticks(10000);
  EXPECT_EQ(irq.rises, 11);
}

TEST_F(I8254Test, square_wave_of_65536_interrupts_18_times_a_second) {
  program(0, 3, 0);
  irq.rises = 0;
  ticks(I8254::kHz);
  EXPECT_EQ(irq.rises, 18);
}

TEST_F(I8254Test, terminal_count_rises_once_and_a_new_count_lowers_it) {
  program(0, 0, 100);
  EXPECT_FALSE(irq.level);
  ticks(100);
  EXPECT_TRUE(irq.level);
  ticks(100000);
  program(0, 0, 50);
  EXPECT_FALSE(irq.level);
  ticks(50);
  EXPECT_TRUE(irq.level);
}

TEST_F(I8254Test, counts_down_and_wraps) {
  program(0, 0, 100);
  ticks(30);
  EXPECT_EQ(read16(0), 70u);
  ticks(71);
  EXPECT_EQ(read16(0), 0xffffu);
}

TEST_F(I8254Test, bcd_counts_in_decimal) {
  program(0, 2, 0x1000, 1);
  ticks(1);
  EXPECT_EQ(read16(0), 0x0999u);
}

TEST_F(I8254Test, a_latched_count_stands_until_read) {
  program(0, 2, 1000);
  ticks(10);
  pit.io_write(3, 1, 0x00);
  ticks(10);
  EXPECT_EQ(read16(0), 990u);
  EXPECT_EQ(read16(0), 980u);
}

TEST_F(I8254Test, read_back_latches_status_then_count) {
  program(2, 2, 1000);
  pit.io_write(3, 1, 0xe8);
  EXPECT_EQ(pit.io_read(2, 1), 0xf4u);  // gate shut: not loaded yet
  pit.io_write(4, 1, 1);
  ticks(5);
  pit.io_write(3, 1, 0xe8);
  EXPECT_EQ(pit.io_read(2, 1), 0xb4u);
  EXPECT_EQ(read16(2), 995u);
}

TEST_F(I8254Test, gate_two_holds_terminal_count_and_out_is_in_port_b) {
  pit.io_write(4, 1, 0);
  program(2, 0, 100);
  ticks(1000);
  EXPECT_EQ(pit.io_read(4, 1) & 0x20, 0u);
  pit.io_write(4, 1, 1);
  ticks(60);
  pit.io_write(4, 1, 0);
  ticks(1000);
  pit.io_write(4, 1, 1);
  ticks(39);
  EXPECT_EQ(pit.io_read(4, 1) & 0x20, 0u);
  ticks(1);
  EXPECT_EQ(pit.io_read(4, 1) & 0x21, 0x21u);
}

TEST_F(I8254Test, one_shot_is_triggered_by_the_gate) {
  program(2, 1, 10);
  ticks(100);
  EXPECT_NE(pit.io_read(4, 1) & 0x20, 0u);
  pit.io_write(4, 1, 1);
  EXPECT_EQ(pit.io_read(4, 1) & 0x20, 0u);
  ticks(10);
  EXPECT_NE(pit.io_read(4, 1) & 0x20, 0u);
}

TEST_F(I8254Test, a_new_count_of_a_running_generator_waits_for_the_period) {
  program(0, 2, 1000);
  ticks(100);
  pit.io_write(0, 1, 10);
  pit.io_write(0, 1, 0);
  EXPECT_EQ(read16(0), 900u);
  ticks(900);
  irq.rises = 0;
  ticks(100);
  EXPECT_GE(irq.rises, 4);  // closer than the host makes them: merged
}

TEST_F(I8254Test, software_strobe_pulses_after_the_count) {
  program(0, 4, 100);
  EXPECT_TRUE(irq.level);
  irq.rises = 0;
  ticks(101);
  EXPECT_EQ(irq.rises, 1);
  ticks(1000);
  EXPECT_EQ(irq.rises, 1);
}

TEST_F(I8254Test, refresh_bit_toggles_with_time_only) {
  const uint64_t before = pit.io_read(4, 1) & 0x10;
  EXPECT_EQ(pit.io_read(4, 1) & 0x10, before);
  clock.advance(15085);
  EXPECT_NE(pit.io_read(4, 1) & 0x10, before);
}

struct Pacer : TickPacer {
  bool ready = true;
  int raises = 0;
  int64_t deadline = kNever;
  void expect(Source, int64_t deadline_ns, int64_t) override { deadline = deadline_ns; }
  void raised() override { ++raises; }
  bool taken() const override { return ready; }
};

TEST(I8254Pace, ticks_of_a_starved_guest_wait_and_then_all_come) {
  async::FakeClock clock;
  Line irq;
  Pacer pacer;
  I8254 pit({.clock = clock, .irq0 = bus::IrqLine(irq, 0), .speaker = {}, .pacer = &pacer});
  pit.reset(bus::ResetKind::Cold);
  EXPECT_EQ(pacer.deadline, TickPacer::kNever);
  pit.io_write(3, 1, 0x34);  // counter 0, mode 2, 4772 ticks: 4 ms
  pit.io_write(0, 1, 4772 & 0xff);
  pit.io_write(0, 1, 4772 >> 8);
  irq.rises = 0;
  EXPECT_NEAR(static_cast<double>(pacer.deadline), 4e6, 2e3);
  clock.advance_to(5'000'000);
  EXPECT_EQ(pacer.raises, 1);
  EXPECT_NEAR(static_cast<double>(pacer.deadline), 8e6, 2e3);
  pacer.ready = false;
  clock.advance_to(101'000'000);
  EXPECT_EQ(pacer.raises, 1);
  EXPECT_NEAR(static_cast<double>(pacer.deadline), 8e6, 2e3);
  pacer.ready = true;
  clock.advance_to(111'000'000);
  EXPECT_EQ(pacer.raises, 27);
  EXPECT_NEAR(static_cast<double>(pacer.deadline), 112e6, 1e5);
  pacer.ready = false;  // two seconds later it is no use waiting
  clock.advance_to(2'500'000'000);
  EXPECT_GT(pacer.raises, 27);
  pit.reset(bus::ResetKind::Cold);
  EXPECT_EQ(pacer.deadline, TickPacer::kNever);
}

}  // namespace
}  // namespace rhea::devices
