#include "devices/irq/ioapic.h"

#include <gtest/gtest.h>

#include <vector>

namespace rhea::devices {
namespace {

struct Messages : bus::ApicBus {
  std::vector<bus::ApicMessage> seen;
  void deliver(const bus::ApicMessage& message) override { seen.push_back(message); }
};

class IoApicTest : public testing::Test {
 protected:
  void write(uint8_t reg, uint32_t value) {
    apic.io_write(0, 4, reg);
    apic.io_write(0x10, 4, value);
  }
  uint64_t read(uint8_t reg) {
    apic.io_write(0, 4, reg);
    return apic.io_read(0x10, 4);
  }
  Messages messages;
  IoApic apic{{.apics = messages}};
};

TEST_F(IoApicTest, version_and_masked_entries_after_reset) {
  EXPECT_EQ(read(1), 0x00170020u);
  for (uint8_t pin = 0; pin < 24; ++pin) EXPECT_EQ(read(static_cast<uint8_t>(0x10 + 2 * pin)), 0x10000u);
  EXPECT_EQ(read(0x40), 0xffffffffu);
}

TEST_F(IoApicTest, edges_are_sent_once_and_lost_while_masked) {
  apic.set_irq(4, true);
  apic.set_irq(4, false);
  write(0x18, 0x0931);
  write(0x19, 0x03000000);
  EXPECT_TRUE(messages.seen.empty());
  apic.set_irq(4, true);
  apic.set_irq(4, true);
  ASSERT_EQ(messages.seen.size(), 1u);
  EXPECT_EQ(messages.seen[0].vector, 0x31);
  EXPECT_EQ(messages.seen[0].destination, 3u);
  EXPECT_TRUE(messages.seen[0].logical);
  EXPECT_EQ(messages.seen[0].mode, bus::DeliveryMode::LowestPriority);
}

TEST_F(IoApicTest, a_level_is_sent_again_after_eoi_while_it_lasts) {
  write(0x24, 0x8040);
  apic.set_irq(10, true);
  ASSERT_EQ(messages.seen.size(), 1u);
  EXPECT_TRUE(messages.seen[0].level_triggered);
  EXPECT_EQ(read(0x24), 0xc040u);
  apic.end_of_interrupt(0x41);
  EXPECT_EQ(messages.seen.size(), 1u);
  apic.end_of_interrupt(0x40);
  EXPECT_EQ(messages.seen.size(), 2u);
  apic.set_irq(10, false);
  apic.io_write(0x40, 4, 0x40);
  EXPECT_EQ(messages.seen.size(), 2u);
  EXPECT_EQ(read(0x24), 0x8040u);
}

TEST_F(IoApicTest, unmasking_a_standing_level_sends_it) {
  write(0x24, 0x18040);
  apic.set_irq(10, true);
  EXPECT_TRUE(messages.seen.empty());
  write(0x24, 0x08040);
  EXPECT_EQ(messages.seen.size(), 1u);
}

TEST_F(IoApicTest, edge_mode_clears_remote_irr) {
  write(0x24, 0x8040);
  apic.set_irq(10, true);
  write(0x24, 0x10040);
  EXPECT_EQ(read(0x24), 0x10040u);
}

}  // namespace
}  // namespace rhea::devices
