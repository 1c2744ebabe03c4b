#include <gtest/gtest.h>

#include "bus/pci/config_mechanism1.h"
#include "devices/bridge/acpi_pci_hotplug.h"
#include "devices/bridge/acpi_timer.h"
#include "devices/bridge/chipset_fixture.h"
#include "devices/bridge/i440fx.h"
#include "devices/bridge/piix3.h"
#include "devices/bridge/piix4_pm.h"

namespace rhea::devices {
namespace {

using bus::ResetKind;
using bus::pci::devfn_of;

class BridgeTest : public ChipsetTest {
 protected:
  BridgeTest() {
    bus.attach(host, devfn_of(0, 0));
    bus.attach(isa, devfn_of(1, 0));
    bus.attach(pm, devfn_of(1, 3));
    host.reset(ResetKind::Cold);
    isa.reset(ResetKind::Cold);
    pm.reset(ResetKind::Cold);
  }
  void write(unsigned devfn, unsigned reg, unsigned size, uint32_t value) {
    bus.config_write(0, devfn, reg, size, value);
  }

  Lines irqs, sci;
  Piix3 isa{{.isa = &irqs, .reset = [this](bool) { ++resets; }}};
  bus::pci::PciBus bus{{.memory = memory, .ports = ports, .intx = &isa}};
  I440fx host{{.board = &board}};
  Piix4Pm pm{{.clock = clock, .sci = bus::IrqLine(sci, 9), .machine = &board}};
  bus::pci::ConfigMechanism1 config{{.root = bus, .reset_control = &isa}};
};

TEST_F(BridgeTest, pam_nibbles_reach_the_board) {
  EXPECT_EQ(board.pam[0xf0000], 0u);
  write(0, 0x59, 1, 0x30);
  EXPECT_EQ(board.pam[0xf0000], 3u);
  write(0, 0x5a, 2, 0x0213);
  EXPECT_EQ(board.pam[0xc0000], 3u);
  EXPECT_EQ(board.pam[0xc4000], 1u);
  EXPECT_EQ(board.pam[0xc8000], 2u);
  host.reset(ResetKind::Cold);
  EXPECT_EQ(board.pam[0xc0000], 0u);
}

TEST_F(BridgeTest, locked_smram_stays_shut_until_reset) {
  write(0, 0x72, 1, 0x4a);
  EXPECT_TRUE(board.smram_open);
  write(0, 0x72, 1, 0x1a);
  write(0, 0x72, 1, 0x4a);
  EXPECT_FALSE(board.smram_open);
  host.reset(ResetKind::Cold);
  write(0, 0x72, 1, 0x4a);
  EXPECT_TRUE(board.smram_open);
}

TEST_F(BridgeTest, pirqs_follow_their_routes_and_share) {
  write(devfn_of(1, 0), 0x60, 4, 0x0b0b0a0a);
  isa.set_irq(0, true);
  isa.set_irq(1, true);
  EXPECT_TRUE(irqs.level[10]);
  isa.set_irq(0, false);
  EXPECT_TRUE(irqs.level[10]);
  write(devfn_of(1, 0), 0x61, 1, 0x80);
  EXPECT_FALSE(irqs.level[10]);
  write(devfn_of(1, 0), 0x61, 1, 0x02);  // the cascade cannot be routed to
  EXPECT_FALSE(irqs.level[2]);
}

TEST_F(BridgeTest, reset_control_shares_its_port_with_the_config_address) {
  config.io_write(0, 4, 0x80000000);
  EXPECT_EQ(config.io_read(4, 4), 0x12378086u);
  config.io_write(1, 1, 2);
  EXPECT_EQ(resets, 0);
  config.io_write(1, 1, 6);
  EXPECT_EQ(resets, 1);
  EXPECT_EQ(config.io_read(0, 4), 0x80000000u);
}

TEST_F(BridgeTest, pm_timer_runs_at_3_58_mhz_and_overflows_every_half) {
  write(devfn_of(1, 3), 0x40, 4, 0x601);
  write(devfn_of(1, 3), 0x80, 1, 1);
  clock.advance(1'000'000'000);
  EXPECT_EQ(ports.load(0x608, 4), 3579545u);
  ports.store(0x602, 2, 1);
  ports.store(0x604, 2, 1);
  EXPECT_FALSE(sci.level[9]);
  clock.advance_to(acpi_timer::time_of(acpi_timer::kHalf));
  EXPECT_TRUE(sci.level[9]);
  EXPECT_EQ(ports.load(0x600, 2), 1u);
  ports.store(0x600, 2, 1);
  EXPECT_FALSE(sci.level[9]);
}

TEST_F(BridgeTest, soft_off_and_suspend_are_asked_of_the_machine) {
  write(devfn_of(1, 3), 0x40, 4, 0x601);
  write(devfn_of(1, 3), 0x80, 1, 1);
  ports.store(0x604, 2, 0x2000);
  EXPECT_EQ(board.offs, 1);
  ports.store(0x604, 2, 0x2400);
  EXPECT_EQ(board.suspends, 1);
  EXPECT_EQ(ports.load(0x604, 2), 0x0400u);
}

TEST_F(BridgeTest, apm_writes_raise_smis_once_enabled) {
  pm.apm_ports().io_write(0, 1, 0xf1);
  EXPECT_EQ(board.smis, 0);
  write(devfn_of(1, 3), 0x58, 4, 1u << 25);
  pm.apm_ports().io_write(0, 1, 0xf0);
  EXPECT_EQ(board.smis, 1);
}

TEST_F(BridgeTest, gpe_and_power_button_raise_sci_when_enabled) {
  pm.apm_ports().io_write(0, 1, 0xf1);
  pm.acpi().raise_gpe(1);
  EXPECT_FALSE(sci.level[9]);
  pm.gpe_ports().io_write(2, 1, 2);
  EXPECT_TRUE(sci.level[9]);
  pm.gpe_ports().io_write(0, 1, 2);
  EXPECT_FALSE(sci.level[9]);
}

TEST_F(BridgeTest, smbus_reads_an_eeprom) {
  write(devfn_of(1, 3), 0x90, 4, 0xb101);
  write(devfn_of(1, 3), 0xd2, 1, 9);
  std::array<uint8_t, 256> contents{};
  contents[5] = 0x77;
  SmbusEeprom eeprom(contents);
  pm.smbus().attach(0x50, eeprom);
  ports.store(0xb104, 1, 0xa1);
  ports.store(0xb103, 1, 5);
  ports.store(0xb102, 1, 0x48);
  EXPECT_EQ(ports.load(0xb100, 1), 2u);
  EXPECT_EQ(ports.load(0xb105, 1), 0x77u);
  ports.store(0xb100, 1, 2);
  ports.store(0xb104, 1, 0x31);
  ports.store(0xb102, 1, 0x48);
  EXPECT_EQ(ports.load(0xb100, 1), 4u);
}

struct HotplugTest : testing::Test {
  unsigned events = 0;
  std::map<unsigned, bool> ejected;  // 100 * bus + slot: at once
  AcpiPciHotplug hotplug{
      {.raise_event = [this] { ++events; },
       .removable = [](unsigned bus) { return 0x18u << bus; },
       .eject = [this](unsigned bus, unsigned slot, bool at_once) { ejected[100 * bus + slot] = at_once; }}};
  bus::pci::SlotHotplug& first = hotplug.add_bus();
  bus::pci::SlotHotplug& second = hotplug.add_bus();
};

TEST_F(HotplugTest, an_arrival_is_told_once) {
  first.arrived(4);
  EXPECT_EQ(events, 1u);
  EXPECT_EQ(hotplug.io_read(0, 4), 0x10u);
  EXPECT_EQ(hotplug.io_read(0, 4), 0u);
  EXPECT_EQ(hotplug.io_read(12, 4), 0x18u);
}

TEST_F(HotplugTest, a_wanted_removal_stands_until_the_slot_is_ejected) {
  first.ask_for_removal(31);
  first.ask_for_removal(31);
  EXPECT_EQ(events, 2u);
  EXPECT_EQ(hotplug.io_read(4, 4), 0x80000000u);
  EXPECT_EQ(hotplug.io_read(7, 1), 0x80u);
  hotplug.io_write(8, 4, 0x80000000u);
  EXPECT_EQ(hotplug.io_read(4, 4), 0u);
  EXPECT_EQ(ejected, (std::map<unsigned, bool>{{31, false}}));
}

TEST_F(HotplugTest, a_reset_ejects_what_was_to_go) {
  first.ask_for_removal(3);
  first.arrived(5);
  hotplug.reset(ResetKind::Cold);
  EXPECT_EQ(ejected, (std::map<unsigned, bool>{{3, true}}));
  EXPECT_EQ(hotplug.io_read(0, 4), 0u);
}

TEST_F(HotplugTest, each_bus_has_registers_of_its_own_behind_the_selector) {
  second.arrived(0);
  first.ask_for_removal(7);
  EXPECT_EQ(hotplug.io_read(0, 4), 0u);
  EXPECT_EQ(hotplug.io_read(4, 4), 0x80u);
  hotplug.io_write(16, 4, 1);
  EXPECT_EQ(hotplug.io_read(16, 4), 1u);
  EXPECT_EQ(hotplug.io_read(0, 4), 1u);
  EXPECT_EQ(hotplug.io_read(4, 4), 0u);
  EXPECT_EQ(hotplug.io_read(12, 4), 0x30u);
  hotplug.io_write(8, 4, 1);
  EXPECT_EQ(ejected, (std::map<unsigned, bool>{{100, false}}));
  hotplug.io_write(16, 4, 0xffffffff);
  EXPECT_EQ(hotplug.io_read(12, 4), 0u);
  hotplug.io_write(8, 4, 0xffffffff);
  EXPECT_EQ(ejected.size(), 1u);
  hotplug.reset(ResetKind::Cold);
  EXPECT_EQ(hotplug.io_read(16, 4), 0u);
}

}  // namespace
}  // namespace rhea::devices
