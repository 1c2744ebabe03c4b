#include "devices/irq/i8259.h"

#include <gtest/gtest.h>

namespace rhea::devices {
namespace {

struct Line : bus::IrqSink {
  bool level = false;
  void set_irq(unsigned, bool on) override { level = on; }
};

class I8259Test : public testing::Test {
 protected:
  I8259Test() {
    start(0, 0x08, 0x04, 0x01);
    start(2, 0x70, 0x02, 0x01);
  }
  void start(uint64_t at, uint8_t base, uint8_t icw3, uint8_t icw4) {
    pic.io_write(at, 1, 0x11);
    pic.io_write(at + 1, 1, base);
    pic.io_write(at + 1, 1, icw3);
    pic.io_write(at + 1, 1, icw4);
  }
  uint64_t isr(uint64_t at) {
    pic.io_write(at, 1, 0x0b);
    return pic.io_read(at, 1);
  }
  uint64_t irr(uint64_t at) {
    pic.io_write(at, 1, 0x0a);
    return pic.io_read(at, 1);
  }
  void pulse(unsigned pin) {
    pic.set_irq(pin, true);
    pic.set_irq(pin, false);
  }
  Line intr;
  I8259Pair pic{{.intr = bus::IrqLine(intr, 0)}};
};

TEST_F(I8259Test, an_edge_is_latched_acknowledged_and_ended) {
  pulse(4);
  EXPECT_TRUE(intr.level);
  EXPECT_EQ(irr(0), 0x10u);
  EXPECT_EQ(pic.acknowledge_extint(), 0x0c);
  EXPECT_FALSE(intr.level);
  EXPECT_EQ(isr(0), 0x10u);
  pic.io_write(0, 1, 0x20);
  EXPECT_EQ(isr(0), 0u);
}

TEST_F(I8259Test, a_held_edge_line_requests_once) {
  pic.set_irq(4, true);
  pic.acknowledge_extint();
  pic.io_write(0, 1, 0x20);
  EXPECT_FALSE(intr.level);
}

TEST_F(I8259Test, a_level_line_requests_until_released) {
  pic.io_write(5, 1, 0xff);
  EXPECT_EQ(pic.io_read(5, 1), 0xdeu);
  pic.set_irq(11, true);
  EXPECT_EQ(pic.acknowledge_extint(), 0x73);
  pic.io_write(2, 1, 0x20);
  pic.io_write(0, 1, 0x20);
  EXPECT_TRUE(intr.level);
  pic.set_irq(11, false);
  EXPECT_FALSE(intr.level);
}

TEST_F(I8259Test, priorities_nest_and_masks_hold_back) {
  pulse(5);
  EXPECT_EQ(pic.acknowledge_extint(), 0x0d);
  pulse(6);
  EXPECT_FALSE(intr.level);
  pulse(1);
  EXPECT_EQ(pic.acknowledge_extint(), 0x09);
  pic.io_write(1, 1, 0x40);
  pic.io_write(0, 1, 0x61);
  pic.io_write(0, 1, 0x65);
  EXPECT_FALSE(intr.level);
  pic.io_write(1, 1, 0);
  EXPECT_EQ(pic.acknowledge_extint(), 0x0e);
}

TEST_F(I8259Test, the_second_chip_ranks_at_input_two) {
  pulse(3);
  pulse(8);
  EXPECT_EQ(pic.acknowledge_extint(), 0x70);
  EXPECT_EQ(isr(0), 0x04u);
  EXPECT_EQ(isr(2), 0x01u);
  pulse(9);
  EXPECT_FALSE(intr.level);
  pic.io_write(2, 1, 0x20);
  EXPECT_FALSE(intr.level);  // the cascade is still in service at the first chip
  pic.io_write(0, 1, 0x20);
  EXPECT_EQ(pic.acknowledge_extint(), 0x71);
}

TEST_F(I8259Test, special_fully_nested_lets_the_second_chip_preempt_itself) {
  start(0, 0x08, 0x04, 0x11);
  pulse(12);
  EXPECT_EQ(pic.acknowledge_extint(), 0x74);
  pulse(9);
  EXPECT_EQ(pic.acknowledge_extint(), 0x71);
}

TEST_F(I8259Test, nothing_pending_is_spurious_and_not_in_service) {
  EXPECT_EQ(pic.acknowledge_extint(), 0x0f);
  EXPECT_EQ(isr(0), 0u);
}

TEST_F(I8259Test, a_level_that_falls_early_is_spurious) {
  pic.io_write(4, 1, 0x20);
  pic.set_irq(5, true);
  pic.set_irq(5, false);
  EXPECT_EQ(pic.acknowledge_extint(), 0x0f);
}

TEST_F(I8259Test, poll_acknowledges) {
  pulse(3);
  pic.io_write(0, 1, 0x0c);
  EXPECT_EQ(pic.io_read(0, 1), 0x83u);
  EXPECT_EQ(isr(0), 0x08u);
  pic.io_write(0, 1, 0x0c);
  EXPECT_EQ(pic.io_read(0, 1) & 0x80, 0u);
}

TEST_F(I8259Test, automatic_eoi_leaves_nothing_in_service_and_rotates) {
  start(0, 0x08, 0x04, 0x03);
  pic.io_write(0, 1, 0x80);
  pulse(0);
  pic.acknowledge_extint();
  EXPECT_EQ(isr(0), 0u);
  pulse(0);
  pulse(7);
  EXPECT_EQ(pic.acknowledge_extint(), 0x0f);
  EXPECT_EQ(pic.acknowledge_extint(), 0x08);
}

TEST_F(I8259Test, rotation_on_eoi_and_by_command) {
  pulse(2);
  pulse(3);
  pic.acknowledge_extint();
  pic.io_write(0, 1, 0xa0);  // 3 is now the lowest
  pulse(3);
  pulse(4);
  EXPECT_EQ(pic.acknowledge_extint(), 0x0c);
  pic.io_write(0, 1, 0x64);
  pic.io_write(0, 1, 0xc2);  // 2 the lowest, 3 the highest
  pulse(0);
  EXPECT_EQ(pic.acknowledge_extint(), 0x0b);
}

TEST_F(I8259Test, special_mask_lets_lower_priorities_through) {
  pulse(1);
  pic.acknowledge_extint();
  pulse(6);
  EXPECT_FALSE(intr.level);
  pic.io_write(1, 1, 0x02);
  pic.io_write(0, 1, 0x68);
  EXPECT_EQ(pic.acknowledge_extint(), 0x0e);
  pic.io_write(0, 1, 0x20);  // ends 6, since 1 is masked
  EXPECT_EQ(isr(0), 0x02u);
}

TEST_F(I8259Test, initialization_clears_masks_and_service) {
  pulse(4);
  pic.acknowledge_extint();
  pic.io_write(1, 1, 0xff);
  start(0, 0x20, 0x04, 0x01);
  EXPECT_EQ(pic.io_read(1, 1), 0u);
  EXPECT_EQ(isr(0), 0u);
  pulse(4);
  EXPECT_EQ(pic.acknowledge_extint(), 0x24);
}

}  // namespace
}  // namespace rhea::devices
