// The Q35 chipset's parts together: configuration space in memory, SMRAM and TSEG, interrupt routing, power
// management, the watchdog, root ports.
#include <gtest/gtest.h>

#include "bus/pci/firmware_path.h"
#include "devices/bridge/chipset_fixture.h"
#include "devices/bridge/ich9_lpc.h"
#include "devices/bridge/ich9_smbus.h"
#include "devices/bridge/pcie_ports.h"
#include "devices/bridge/q35_mch.h"
#include "devices/misc/edu.h"

namespace rhea::devices {
namespace {

using bus::ResetKind;
using bus::pci::devfn_of;

class Q35Test : public ChipsetTest {
 protected:
  Q35Test() {
    bus.attach(mch, devfn_of(0, 0));
    bus.attach(lpc, devfn_of(31, 0));
    bus.attach(smbus, devfn_of(31, 3));
    mch.reset(ResetKind::Cold);
    lpc.reset(ResetKind::Cold);
    smbus.reset(ResetKind::Cold);
    lpc.config_write(0x40, 4, 0x601);
    lpc.config_write(0x44, 1, 0x80);
  }

  Lines gsi;
  Ich9Lpc lpc{{.clock = clock,
               .gsi = &gsi,
               .reset = [this](bool) { ++resets; },
               .machine = &board,
               .tco_reboots = true}};
  bus::pci::PciBus bus{
      {.memory = memory, .ports = ports, .intx = &lpc, .express = true, .route = &Ich9Lpc::route}};
  Q35Mch mch{{.root = bus, .board = &board}};
  Ich9Smbus smbus;
};

TEST_F(Q35Test, configuration_space_appears_in_memory) {
  mch.config_write(0x64, 4, 0);
  mch.config_write(0x60, 4, 0xb0000001);
  EXPECT_EQ(memory.load(0xb0000000, 4), 0x29c08086u);
  EXPECT_EQ(memory.load(0xb00f8000, 4), 0x29188086u);
  EXPECT_EQ(memory.load(0xb00fb002, 2), 0x2930u);
  EXPECT_EQ(memory.load(0xb0008000, 4), 0xffffffffu);
  EXPECT_EQ(memory.load(0xb00f8100, 4), 0xffffffffu);  // no extended space
  mch.config_write(0x60, 4, 0xe0000001);
  EXPECT_EQ(memory.load(0xe0000000, 4), 0x29c08086u);
  mch.config_write(0x60, 4, 0);
  EXPECT_EQ(memory.load(0xe0000000, 4), 0xffffffffu);
}

TEST_F(Q35Test, tseg_is_sized_hidden_and_locked) {
  mch.config_write(0x50, 2, 0xffff);
  EXPECT_EQ(mch.config_read(0x50, 2), 16u);
  mch.config_write(0x9d, 1, 0x08);
  mch.config_write(0x9e, 1, 0x07);
  EXPECT_EQ(board.tseg, 16u << 20);
  mch.config_write(0x9e, 1, 0x05);
  EXPECT_EQ(board.tseg, 8u << 20);
  mch.config_write(0x9d, 1, 0x58);
  EXPECT_FALSE(board.smram_open);
  mch.config_write(0x9e, 1, 0);
  EXPECT_EQ(board.tseg, 8u << 20);
  mch.reset(ResetKind::Cold);
  EXPECT_EQ(board.tseg, 0u);
  mch.config_write(0x9d, 1, 0x48);
  EXPECT_TRUE(board.smram_open);
}

TEST_F(Q35Test, firmware_keeps_the_layout_of_memory_in_registers) {
  mch.config_write(0xac, 4, 0x1f000000);  // TSEGMB
  mch.config_write(0xb0, 2, 0x2000);      // TOLUD
  EXPECT_EQ(mch.config_read(0xac, 4), 0x1f000000u);
  EXPECT_EQ(mch.config_read(0xb0, 2), 0x2000u);
}

TEST_F(Q35Test, pins_reach_both_controllers) {
  Edu edu{{.clock = clock}};
  bus.attach(edu, devfn_of(2, 0));  // slot 2, INTA: PIRQG
  edu.set_intx(true);
  EXPECT_TRUE(gsi.level[22]);
  lpc.config_write(0x6a, 1, 11);
  EXPECT_TRUE(gsi.level[11]);
  edu.set_intx(false);
  EXPECT_FALSE(gsi.level[22]);
  EXPECT_FALSE(gsi.level[11]);
}

TEST_F(Q35Test, power_button_raises_the_sci_and_sleep_turns_off) {
  ports.store(0xb2, 1, 0x02);
  ports.store(0x602, 2, 0x100);
  lpc.apm_ports().io_write(0, 1, 0x02);
  lpc.acpi().press_power_button();
  EXPECT_TRUE(gsi.level[9]);
  ports.store(0x604, 2, 0x2000);
  EXPECT_EQ(board.offs, 1);
}

TEST_F(Q35Test, apm_raises_an_smi_when_enabled_and_the_lock_holds) {
  lpc.apm_ports().io_write(0, 1, 0x55);
  EXPECT_EQ(board.smis, 0);
  ports.store(0x630, 4, 0x21);
  lpc.config_write(0xa0, 1, 0x10);
  ports.store(0x630, 4, 0x20);
  EXPECT_EQ(ports.load(0x630, 4), 0x21u);
  lpc.apm_ports().io_write(0, 1, 0x55);
  EXPECT_EQ(board.smis, 1);
}

TEST_F(Q35Test, watchdog_reboots_at_its_second_timeout) {
  ports.store(0x672, 2, 4);
  ports.store(0x660, 2, 1);
  clock.advance(3'000'000'000);
  EXPECT_EQ(ports.load(0x664, 1) & 8, 8u);
  EXPECT_EQ(resets, 0);
  clock.advance(3'000'000'000);
  EXPECT_EQ(resets, 1);
}

TEST_F(Q35Test, root_port_leads_to_its_device) {
  PcieRootPort port(bus.wiring(), {.port = 1, .slot = 3});
  bus.attach(port, devfn_of(4, 0));
  Edu edu{{.clock = clock}};
  port.secondary().attach(edu, 0);
  port.reset(ResetKind::Cold);
  EXPECT_EQ(port.secondary().free_slot(0), std::nullopt);
  port.config_write(0x18, 4, 0x00010100);
  EXPECT_EQ(bus.config_read(1, 0, 0, 4), 0x11e81234u);
  EXPECT_EQ(port.config_read(0x54, 1), 0x10u);
  EXPECT_EQ(port.config_read(0x54 + 0x1a, 2) & 0x40, 0x40u);
  EXPECT_EQ(port.config_size(), 4096u);
  EXPECT_EQ(bus::pci::firmware_path(edu), "/pci@i0cf8/pci-bridge@4/pci1234,11e8@0");
}

}  // namespace
}  // namespace rhea::devices
