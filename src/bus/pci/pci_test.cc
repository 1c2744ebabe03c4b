#include <gtest/gtest.h>

#include <map>

#include "bus/pci/config_mechanism1.h"
#include "bus/pci/msi.h"
#include "bus/pci/pci_bridge.h"

namespace rhea::bus::pci {
namespace {

struct Lines : IrqSink {
  std::map<unsigned, bool> level;
  void set_irq(unsigned pin, bool on) override { level[pin] = on; }
};

struct Messages : ApicBus {
  std::vector<ApicMessage> seen;
  void deliver(const ApicMessage& message) override { seen.push_back(message); }
};

struct Scratch : memory::IoHandler {
  uint64_t last = 0;
  uint64_t io_read(uint64_t offset, unsigned) override { return 0x50 + offset; }
  void io_write(uint64_t, unsigned, uint64_t value) override { last = value; }
};

class Card final : public PciFunction {
 public:
  explicit Card(uint8_t pin = 1)
      : PciFunction({.vendor = 0x1234, .device = 0x5678, .class_code = 0xff0000, .interrupt_pin = pin}),
        msi_(*this, 0x40, {.vectors = 4, .maskable = true}),
        msix_(*this, 0x60, 3, {.bar = 4, .table = 0, .pending = 48}) {
    add_bar(0, BarKind::Memory32, 0x1000, registers);
    add_bar(1, BarKind::Io, 0x20, registers);
    add_bar(2, BarKind::Memory64, 0x10000, registers);
    add_bar(4, BarKind::Memory32, 64, msix_);
  }
  std::string_view name() const override { return "card"; }
  Msi& msi() { return msi_; }
  Msix& msix() { return msix_; }
  Scratch registers;

 protected:
  void config_written(unsigned offset, unsigned size) override {
    msi_.config_written(offset, size);
    msix_.config_written(offset, size);
  }

 private:
  Msi msi_;
  Msix msix_;
};

class PciTest : public testing::Test {
 protected:
  std::recursive_mutex lock;
  memory::AddressSpace memory{"memory", lock};
  memory::AddressSpace ports{"ports", lock};
  Lines lines;
  Messages messages;
  PciBus bus{{.memory = memory, .ports = ports, .intx = &lines, .apics = &messages}};
  ConfigMechanism1 config{{.root = bus}};

  void select(unsigned bus_number, unsigned slot, unsigned reg) {
    config.io_write(0, 4, 0x80000000u | bus_number << 16 | slot << 11 | reg);
  }
  uint32_t read32(unsigned slot, unsigned reg, unsigned bus_number = 0) {
    select(bus_number, slot, reg);
    return static_cast<uint32_t>(config.io_read(4, 4));
  }
  void write32(unsigned slot, unsigned reg, uint32_t value, unsigned bus_number = 0) {
    select(bus_number, slot, reg);
    config.io_write(4, 4, value);
  }
};

TEST_F(PciTest, absent_functions_read_all_ones) {
  EXPECT_EQ(read32(7, 0), 0xffffffffu);
}

TEST_F(PciTest, identity_is_read_by_dword_word_and_byte) {
  Card card;
  bus.attach(card, devfn_of(3, 0));
  EXPECT_EQ(read32(3, 0), 0x56781234u);
  EXPECT_EQ(config.io_read(6, 2), 0x5678u);
  EXPECT_EQ(config.io_read(5, 1), 0x12u);
  config.io_write(0, 4, 0x1800);  // enable bit clear
  EXPECT_EQ(config.io_read(4, 4), 0xffffffffu);
}

TEST_F(PciTest, bars_are_sized_with_ones) {
  Card card;
  bus.attach(card, devfn_of(3, 0));
  for (unsigned i = 0; i < 4; ++i) write32(3, 0x10 + 4 * i, 0xffffffff);
  EXPECT_EQ(read32(3, 0x10), 0xfffff000u);
  EXPECT_EQ(read32(3, 0x14), 0xffffffe1u);
  EXPECT_EQ(read32(3, 0x18), 0xffff0004u);
  EXPECT_EQ(read32(3, 0x1c), 0xffffffffu);
  write32(3, 0x30, 0xffffffff);
  EXPECT_EQ(read32(3, 0x30), 0u);
}

TEST_F(PciTest, bars_follow_the_command_register) {
  Card card;
  bus.attach(card, devfn_of(3, 0));
  write32(3, 0x10, 0xe0000000);
  write32(3, 0x14, 0xc000);
  EXPECT_EQ(memory.load(0xe0000004, 4), 0xffffffffu);
  write32(3, 4, kCommandIo | kCommandMemory);
  EXPECT_EQ(memory.load(0xe0000004, 4), 0x54u);
  EXPECT_EQ(ports.load(0xc008, 1), 0x58u);
  write32(3, 0x10, 0xe1000000);
  EXPECT_EQ(memory.load(0xe0000004, 4), 0xffffffffu);
  EXPECT_EQ(memory.load(0xe1000004, 4), 0x54u);
  write32(3, 0x1c, 1);
  write32(3, 0x18, 0x20000);
  EXPECT_EQ(memory.load(0x100020008, 4), 0x58u);
  card.reset(ResetKind::Cold);
  EXPECT_EQ(memory.load(0xe1000004, 4), 0xffffffffu);
}

TEST_F(PciTest, interrupt_pins_are_rotated_and_shared) {
  Card a(1);
  Card b(2);
  bus.attach(a, devfn_of(3, 0));
  bus.attach(b, devfn_of(2, 0));
  a.set_intx(true);
  EXPECT_TRUE(lines.level[2]);
  b.set_intx(true);
  a.set_intx(false);
  EXPECT_TRUE(lines.level[2]);
  b.set_intx(false);
  EXPECT_FALSE(lines.level[2]);
}

TEST_F(PciTest, intx_disable_masks_the_pin_but_not_the_status) {
  Card card;
  bus.attach(card, devfn_of(1, 0));
  write32(1, 4, kCommandIntxDisable);
  card.set_intx(true);
  EXPECT_FALSE(lines.level[0]);
  EXPECT_NE(read32(1, 4) & (uint32_t{kStatusInterrupt} << 16), 0u);
  write32(1, 4, 0);
  EXPECT_TRUE(lines.level[0]);
}

TEST_F(PciTest, msi_needs_bus_master_and_enable) {
  Card card;
  bus.attach(card, devfn_of(3, 0));
  write32(3, 0x44, 0xfee01000);
  write32(3, 0x4c, 0x4060);
  card.msi().notify(1);
  EXPECT_TRUE(messages.seen.empty());
  write32(3, 4, kCommandMaster);
  write32(3, 0x40, 0x00210000);  // enabled, four vectors
  card.msi().notify(1);
  ASSERT_EQ(messages.seen.size(), 1u);
  EXPECT_EQ(messages.seen[0].vector, 0x61);
  EXPECT_EQ(messages.seen[0].destination, 1u);
}

TEST_F(PciTest, masked_msi_goes_out_when_unmasked) {
  Card card;
  bus.attach(card, devfn_of(3, 0));
  write32(3, 4, kCommandMaster);
  write32(3, 0x44, 0xfee00000);
  write32(3, 0x40, 0x00010000);
  write32(3, 0x50, 1);
  card.msi().notify(0);
  EXPECT_TRUE(messages.seen.empty());
  EXPECT_EQ(read32(3, 0x54), 1u);
  write32(3, 0x50, 0);
  EXPECT_EQ(messages.seen.size(), 1u);
  EXPECT_EQ(read32(3, 0x54), 0u);
}

TEST_F(PciTest, msix_vectors_are_masked_after_reset_and_pend) {
  Card card;
  bus.attach(card, devfn_of(3, 0));
  write32(3, 0x20, 0xe0000000);
  write32(3, 4, kCommandMaster | kCommandMemory);
  write32(3, 0x60, 0x80000000);
  memory.store(0xe0000010, 4, 0xfee02000);
  memory.store(0xe0000018, 4, 0x55);
  card.msix().notify(1);
  EXPECT_TRUE(messages.seen.empty());
  EXPECT_EQ(memory.load(0xe0000030, 4), 2u);
  memory.store(0xe000001c, 4, 0);
  ASSERT_EQ(messages.seen.size(), 1u);
  EXPECT_EQ(messages.seen[0].vector, 0x55);
  EXPECT_EQ(messages.seen[0].destination, 2u);
}

TEST_F(PciTest, bridge_forwards_configuration_windows_and_pins) {
  PciBridge bridge(bus.wiring());
  Card card;
  bus.attach(bridge, devfn_of(2, 0));
  bridge.secondary().attach(card, devfn_of(1, 0));
  EXPECT_EQ(read32(1, 0, 1), 0xffffffffu);
  write32(2, 0x18, 0x00010100);
  EXPECT_EQ(read32(1, 0, 1), 0x56781234u);
  write32(1, 0x10, 0xe0100000, 1);
  write32(1, 4, kCommandMemory, 1);
  EXPECT_EQ(memory.load(0xe0100000, 4), 0xffffffffu);
  write32(2, 0x20, 0xe010e010);
  write32(2, 4, kCommandMemory);
  EXPECT_EQ(memory.load(0xe0100000, 4), 0x50u);
  card.set_intx(true);  // (1 + 0) at the bridge, (2 - 1 + 1) at the host
  EXPECT_TRUE(lines.level[2]);
  card.set_intx(false);
}

}  // namespace
}  // namespace rhea::bus::pci
