#include "devices/timer/hpet.h"

#include <gtest/gtest.h>

#include <map>

#include "async/fake_clock.h"

namespace rhea::devices {
namespace {

struct Lines : bus::IrqSink {
  std::map<unsigned, bool> level;
  std::map<unsigned, int> rises;
  void set_irq(unsigned pin, bool on) override {
    if (on && !level[pin]) ++rises[pin];
    level[pin] = on;
  }
};

class HpetTest : public testing::Test {
 protected:
  uint64_t get(uint64_t at) { return hpet.io_read(at, 8); }
  void put(uint64_t at, uint64_t value) { hpet.io_write(at, 8, value); }
  async::FakeClock clock;
  Lines gsi, isa;
  uint32_t message = 0;
  Hpet hpet{{.clock = clock,
             .gsi = &gsi,
             .irq0 = bus::IrqLine(isa, 0),
             .irq8 = bus::IrqLine(isa, 8),
             .message = [this](uint64_t, uint32_t data) { message = data; }}};
};

TEST_F(HpetTest, capabilities_and_a_stopped_counter) {
  EXPECT_EQ(get(0), 0x009896808086a201u);
  clock.advance(1000);
  EXPECT_EQ(get(0xf0), 0u);
  put(0xf0, 5);
  put(0x10, 1);
  clock.advance(1000);
  EXPECT_EQ(get(0xf0), 105u);
  EXPECT_EQ(hpet.io_read(0xf4, 4), 0u);
  put(0x10, 0);
  clock.advance(1000);
  EXPECT_EQ(get(0xf0), 105u);
}

TEST_F(HpetTest, one_shot_edge_fires_once) {
  put(0x10, 1);
  put(0x100, 20u << 9 | 4);
  put(0x108, 1000);
  clock.advance(9990);
  EXPECT_EQ(gsi.rises[20], 0);
  clock.advance(10);
  EXPECT_EQ(gsi.rises[20], 1);
  clock.advance(1'000'000);
  EXPECT_EQ(gsi.rises[20], 1);
}

TEST_F(HpetTest, periodic_with_set_value_as_linux_writes_it) {
  put(0x10, 3);
  hpet.io_write(0x100, 4, 0x14c);  // 32 bits, periodic, enabled, set value
  hpet.io_write(0x108, 4, 100'000);
  hpet.io_write(0x108, 4, 100'000);
  clock.advance(10'000'000);
  EXPECT_EQ(isa.rises[0], 10);
  EXPECT_EQ(get(0x108), 1'100'000u);
}

TEST_F(HpetTest, level_status_holds_the_line_until_cleared) {
  put(0x10, 1);
  put(0x120, 16u << 9 | 6);
  put(0x128, 100);
  clock.advance(1000);
  EXPECT_TRUE(gsi.level[16]);
  EXPECT_EQ(get(0x20), 2u);
  put(0x20, 2);
  EXPECT_FALSE(gsi.level[16]);
  EXPECT_EQ(get(0x20), 0u);
}

TEST_F(HpetTest, legacy_replacement_takes_the_place_of_timer_and_clock) {
  hpet.set_irq(Hpet::kFromPit, true);
  EXPECT_TRUE(isa.level[0]);
  put(0x10, 2);
  EXPECT_FALSE(isa.level[0]);
  hpet.set_irq(Hpet::kFromRtc, true);
  EXPECT_FALSE(isa.level[8]);
  put(0x10, 0);
  EXPECT_TRUE(isa.level[0]);
  EXPECT_TRUE(isa.level[8]);
}

TEST_F(HpetTest, narrow_comparators_match_the_low_half) {
  put(0xf0, 0xfffffff0);
  put(0x100, 20u << 9 | 0x104);
  put(0x108, 0x10);
  put(0x10, 1);
  clock.advance(310);
  EXPECT_EQ(gsi.rises[20], 0);
  clock.advance(10);
  EXPECT_EQ(gsi.rises[20], 1);
}

TEST_F(HpetTest, messages_replace_lines) {
  put(0x10, 1);
  put(0x110, 0xfee00000'00000045);
  put(0x100, 0x4004);
  put(0x108, 10);
  clock.advance(100);
  EXPECT_EQ(message, 0x45u);
}

TEST_F(HpetTest, very_short_periods_do_not_flood_the_host) {
  put(0x10, 1);
  put(0x100, 20u << 9 | 0x4c);
  put(0x108, 1);
  clock.advance(1'000'000);
  EXPECT_LE(gsi.rises[20], 60);
  EXPECT_GE(gsi.rises[20], 40);
}

struct Pacer : TickPacer {
  bool ready = true;
  int raises = 0;
  int64_t deadline = kNever, period = 0;
  void expect(Source, int64_t deadline_ns, int64_t period_ns) override {
    deadline = deadline_ns;
    period = period_ns;
  }
  void raised() override { ++raises; }
  bool taken() const override { return ready; }
};

TEST(HpetPace, ticks_in_the_place_of_the_8254_wait_for_a_starved_guest) {
  async::FakeClock clock;
  Lines isa;
  Pacer pacer;
  Hpet hpet({.clock = clock,
             .gsi = nullptr,
             .irq0 = bus::IrqLine(isa, 0),
             .irq8 = {},
             .message = {},
             .pacer = &pacer});
  hpet.io_write(0x10, 8, 3);
  hpet.io_write(0x100, 4, 0x14c);
  hpet.io_write(0x108, 4, 400'000);
  hpet.io_write(0x108, 4, 400'000);
  EXPECT_EQ(pacer.deadline, 4'000'000);
  EXPECT_EQ(pacer.period, 4'000'000);
  clock.advance_to(4'000'000);
  EXPECT_EQ(isa.rises[0], 1);
  pacer.ready = false;
  clock.advance_to(100'000'000);
  EXPECT_EQ(isa.rises[0], 1);
  EXPECT_EQ(pacer.deadline, 8'000'000);
  pacer.ready = true;
  clock.advance_to(111'000'000);
  EXPECT_EQ(isa.rises[0], 27);
  EXPECT_EQ(pacer.deadline, 112'000'000);
  hpet.io_write(0x10, 8, 1);  // the 8254 has its interrupt back
  EXPECT_EQ(pacer.deadline, TickPacer::kNever);
}

}  // namespace
}  // namespace rhea::devices
