#include "devices/timer/mc146818.h"

#include <gtest/gtest.h>

#include "async/fake_clock.h"

namespace rhea::devices {
namespace {

constexpr int64_t kSecond = 1'000'000'000;

struct Line : bus::IrqSink {
  bool level = false;
  int rises = 0;
  void set_irq(unsigned, bool on) override {
    if (on && !level) ++rises;
    level = on;
  }
};

class RtcTest : public testing::Test {
 protected:
  uint64_t get(uint8_t index) {
    rtc.io_write(0, 1, index);
    return rtc.io_read(1, 1);
  }
  void put(uint8_t index, uint8_t value) {
    rtc.io_write(0, 1, index);
    rtc.io_write(1, 1, value);
  }
  async::FakeClock clock;
  Line irq;
  bool nmi_masked = false;
  // 2024-02-28 23:59:58
  Mc146818 rtc{{.clock = clock,
                .irq8 = bus::IrqLine(irq, 0),
                .base_ns = 1709164798 * kSecond,
                .nmi_mask = [this](bool masked) { nmi_masked = masked; }}};
};

TEST_F(RtcTest, shows_the_date_in_bcd_and_rolls_over_in_a_leap_year) {
  EXPECT_EQ(get(0), 0x58u);
  EXPECT_EQ(get(4), 0x23u);
  EXPECT_EQ(get(7), 0x28u);
  EXPECT_EQ(get(0x32), 0x20u);
  clock.advance(2 * kSecond);
  EXPECT_EQ(get(0), 0u);
  EXPECT_EQ(get(7), 0x29u);
  EXPECT_EQ(get(8), 0x02u);
  EXPECT_EQ(get(9), 0x24u);
  EXPECT_EQ(get(6), 0x05u);  // a Thursday
}

TEST_F(RtcTest, begins_within_a_second) {
  Mc146818 other{{.clock = clock,
                  .irq8 = bus::IrqLine(irq, 0),
                  .base_ns = 1709164798 * kSecond + kSecond * 3 / 4,
                  .nmi_mask = {}}};
  EXPECT_EQ(other.seconds(), 1709164798);
  clock.advance(kSecond / 4 - 1);
  EXPECT_EQ(other.seconds(), 1709164798);
  clock.advance(1);
  EXPECT_EQ(other.seconds(), 1709164799);
}

TEST_F(RtcTest, binary_and_twelve_hour_formats) {
  put(11, 0x04);
  EXPECT_EQ(get(0), 58u);
  EXPECT_EQ(get(4), 0x8bu);
  put(11, 0x00);
  EXPECT_EQ(get(4), 0x91u);
  clock.advance(2 * kSecond);
  EXPECT_EQ(get(4), 0x12u);
}

TEST_F(RtcTest, setting_the_time_holds_it) {
  put(11, 0x82);
  put(0, 0x10);
  put(2, 0x20);
  put(4, 0x06);
  put(9, 0x31);
  clock.advance(5 * kSecond);
  EXPECT_EQ(get(0), 0x10u);
  put(11, 0x02);
  clock.advance(kSecond);
  EXPECT_EQ(get(0), 0x11u);
  EXPECT_EQ(get(2), 0x20u);
  EXPECT_EQ(get(4), 0x06u);
  EXPECT_EQ(get(9), 0x31u);
}

TEST_F(RtcTest, update_in_progress_at_the_end_of_a_second) {
  EXPECT_EQ(get(10) & 0x80, 0u);
  clock.advance(kSecond - 1'000'000);
  EXPECT_EQ(get(10) & 0x80, 0x80u);
  clock.advance(1'000'000);
  EXPECT_EQ(get(10) & 0x80, 0u);
}

TEST_F(RtcTest, update_interrupt_once_a_second_until_read) {
  put(11, 0x12);
  clock.advance(kSecond);
  EXPECT_TRUE(irq.level);
  EXPECT_EQ(get(12) & 0xb0, 0x90u);
  EXPECT_FALSE(irq.level);
  EXPECT_EQ(get(12) & 0xb0, 0u);
  clock.advance(kSecond);
  EXPECT_TRUE(irq.level);
}

TEST_F(RtcTest, periodic_interrupt_at_1024_hz) {
  put(10, 0x26);
  put(11, 0x42);
  int count = 0;
  for (int i = 0; i < 2048; ++i) {
    clock.advance(kSecond / 2048);
    if (irq.level && (get(12) & 0x40) != 0) ++count;
  }
  EXPECT_GE(count, 1022);
  EXPECT_LE(count, 1024);
}

TEST(RtcSlew, periodic_interrupts_of_a_late_guest_are_made_up_for) {
  for (const bool slew : {false, true}) {
    async::FakeClock clock;
    Line irq;
    Mc146818 rtc({.clock = clock, .irq8 = bus::IrqLine(irq, 0), .nmi_mask = {}, .slew = slew});
    rtc.io_write(0, 1, 11);
    rtc.io_write(1, 1, 0x42);
    rtc.io_write(0, 1, 12);
    clock.advance(kSecond / 2);
    int count = 0;
    for (; irq.level && count < 2000; ++count) {
      rtc.io_read(1, 1);
      clock.advance(0);
    }
    EXPECT_EQ(count, slew ? 512 : 1);
  }
}

TEST_F(RtcTest, flags_are_set_without_their_enables) {
  clock.advance(kSecond);
  EXPECT_EQ(get(12), 0x50u);
  EXPECT_EQ(irq.rises, 0);
}

TEST_F(RtcTest, alarm_matches_with_dont_care_bytes) {
  put(1, 0x05);
  put(3, 0xff);
  put(5, 0xc0);
  put(11, 0x22);
  clock.advance(6 * kSecond);
  EXPECT_FALSE(irq.level);
  clock.advance(kSecond);
  EXPECT_TRUE(irq.level);
  EXPECT_EQ(get(12) & 0xa0, 0xa0u);
}

TEST_F(RtcTest, index_bit_seven_masks_nmi_and_high_bank_is_reached) {
  rtc.io_write(0, 1, 0x8f);
  EXPECT_TRUE(nmi_masked);
  rtc.io_write(0, 1, 0x0f);
  EXPECT_FALSE(nmi_masked);
  rtc.io_write(2, 1, 0x90);
  rtc.io_write(3, 1, 0x5a);
  EXPECT_EQ(rtc.io_read(3, 1), 0x5au);
  EXPECT_EQ(rtc.cmos(0x90), 0x5a);
  EXPECT_EQ(get(13), 0x80u);
}

TEST_F(RtcTest, reset_keeps_time_and_memory) {
  put(0x40, 0x77);
  put(11, 0x72);
  rtc.reset(bus::ResetKind::Cold);
  EXPECT_EQ(get(0x40), 0x77u);
  EXPECT_EQ(get(11), 0x02u);
  EXPECT_EQ(get(0), 0x58u);
}

}  // namespace
}  // namespace rhea::devices
