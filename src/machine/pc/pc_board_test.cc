#include <random>

#include "machine/pc/board_fixture.h"
#include "machine/plug/hotplug.h"
#include "machine/plug/registry.h"

namespace rhea::machine {
namespace {

using PcBoardTest = BoardTest;

TEST_F(PcBoardTest, chipset_answers_where_firmware_looks) {
  build();
  out(0xcf8, 0x80000000, 4);
  EXPECT_EQ(in(0xcfc, 4), 0x12378086u);
  out(0xcf8, 0x80000800, 4);
  EXPECT_EQ(in(0xcfc, 4), 0x70008086u);
  out(0xcf8, 0x80000b00, 4);
  EXPECT_EQ(in(0xcfc, 4), 0x71138086u);
  out(0x510, 0, 2);
  EXPECT_EQ(in(0x511), uint64_t{'Q'});
  EXPECT_EQ(in(0x511), uint64_t{'E'});
}

TEST_F(PcBoardTest, cores_see_memory_ports_and_their_apic) {
  build(3);
  for (auto& core : cores) {
    EXPECT_EQ(core->memory, &board->memory());
    EXPECT_EQ(core->ports, &board->ports());
    EXPECT_NE(core->apic, nullptr);
  }
  EXPECT_EQ(cores[2]->apic_id, 2u);
}

TEST_F(PcBoardTest, pam_registers_open_the_bios_area) {
  build();
  board->memory().store(0xf0000, 1, 0x55);
  EXPECT_EQ(board->memory().load(0xf0000, 1), 0xf4u);
  pci_out(0, 0x59, 0x30, 1);
  board->memory().store(0xf0000, 1, 0x55);
  EXPECT_EQ(board->memory().load(0xf0000, 1), 0x55u);
  board->reset();
  EXPECT_EQ(board->memory().load(0xf0000, 1), 0xf4u);
}

TEST_F(PcBoardTest, a20_gate_reaches_every_vcpu) {
  build();
  out(0x92, 2);
  EXPECT_EQ(cores[1]->s.a20_masked, 0);
  out(0x92, 0);
  EXPECT_EQ(cores[0]->s.a20_masked, 1);
  EXPECT_EQ(cores[1]->s.a20_masked, 1);
  EXPECT_NE(cores[1]->pending & cpu::pending::kTlbFlush, 0u);
}

TEST_F(PcBoardTest, guest_can_reset_and_power_off) {
  build();
  out(0xcf9, 2);
  out(0xcf9, 6);
  EXPECT_EQ(host.resets, 1);
  out(0x64, 0xfe);
  EXPECT_EQ(host.resets, 2);
  out(0x92, 1);
  EXPECT_EQ(host.resets, 3);
  // PM I/O base at 0x600, then SLP_EN with type 0.
  pci_out(0xb, 0x40, 0x601, 4);
  pci_out(0xb, 0x80, 1, 1);
  out(0x604, 0x2000, 2);
  EXPECT_EQ(host.power_offs, 1);
}

TEST_F(PcBoardTest, timer_interrupt_reaches_the_first_local_apic) {
  build();
  // 8259: vectors from 8, only interrupt 0 open. LINT0 of a local APIC after reset is masked: open it as
  // ExtINT.
  for (auto [port, value] : {std::pair{0x20, 0x11}, {0x21, 8}, {0x21, 4}, {0x21, 1}, {0x21, 0xfe}}) {
    out(static_cast<uint16_t>(port), static_cast<unsigned>(value));
  }
  cores[0]->apic->store(0xf0, 4, 0x1ff);
  cores[0]->apic->store(0x350, 4, 0x700);
  out(0x43, 0x34);
  out(0x40, 0);
  out(0x40, 0x10);
  clock.advance(10'000'000);
  EXPECT_NE(cores[0]->pending & cpu::pending::kInterrupt, 0u);
  EXPECT_TRUE(cores[0]->apic->deliverable());
  EXPECT_EQ(cores[0]->apic->acknowledge(), 8);
}

TEST_F(PcBoardTest, message_to_an_apic_arrives) {
  build();
  cores[1]->apic->store(0xf0, 4, 0x1ff);
  board->memory().store(0xfee01000, 4, 0x41);
  EXPECT_TRUE(cores[1]->apic->deliverable());
  EXPECT_EQ(cores[1]->apic->acknowledge(), 0x41);
}

TEST_F(PcBoardTest, devices_are_added_by_name) {
  config.devices = {{"isa-debug-exit", {}},
                    {"edu", {{"addr", "5"}}},
                    {"pci-testdev", {}},
                    {"pc-testdev", {}},
                    {"isa-serial", {}}};
  build();
  out(0x501, 7);
  EXPECT_EQ(host.exit_status, 15);
  out(0xcf8, 0x80002800, 4);
  EXPECT_EQ(in(0xcfc, 4), 0x11e81234u);
  out(0xcf8, 0x80001000, 4);
  EXPECT_EQ(in(0xcfc, 2), 0x1b36u);
  EXPECT_EQ(in(0x3fd) & 0x60, 0x60u);
}

TEST_F(PcBoardTest, bad_device_options_are_one_clear_line) {
  struct {
    DeviceRequest request;
    const char* expected;
  } cases[] = {{{"isa-serail", {}}, "isa-serial"},
               {{"edu", {{"addr", "20"}}}, "addr"},
               {{"edu", {{"addr", "1.0"}}}, "taken"},
               {{"isa-debug-exit", {{"iobase", "0x10000"}}}, "iobase"},
               {{"isa-debug-exit", {{"iobase", "0xffff"}}}, "exist"},
               {{"pci-testdev", {{"membar", "5000"}}}, "membar"},
               {{"isa-serial", {{"chardev", "nope"}}}, "nope"}};
  for (auto& c : cases) {
    config.devices = {c.request};
    config.ram_bytes = 2 << 20;
    cpu::Core core;
    auto made = PcBoard::create(config, {host, lock, clock, clock, {&core}});
    ASSERT_FALSE(made) << c.request.driver;
    EXPECT_NE(made.error().message().find(c.expected), std::string::npos) << made.error().message();
  }
}

// Whatever a guest does at the ports, the board stays alive; and a reset afterwards brings it back.
TEST_F(PcBoardTest, random_port_traffic_is_survived) {
  config.devices = {{"pc-testdev", {}}, {"edu", {}}, {"pci-testdev", {}}};
  build();
  std::mt19937 random(7);
  constexpr uint16_t kBases[] = {0x00, 0x20,  0x40,  0x60,  0x70,  0x80,  0x92,   0xa0,  0xb2,  0xc0,
                                 0xe0, 0x510, 0x3f8, 0x4d0, 0xcf8, 0xcfc, 0xafe0, 0x600, 0x700, 0x2000};
  for (unsigned i = 0; i < 200'000; i++) {
    uint16_t port = static_cast<uint16_t>(kBases[random() % std::size(kBases)] + random() % 16);
    unsigned size = 1u << random() % 3;
    uint64_t value = random();
    if (port == 0xcf8 && size == 4) value = 0x80000000 | (value & 0x3ffc);
    if (random() % 2 == 0) {
      out(port, value, size);
    } else {
      in(port, size);
    }
    if (i % 64 == 0) clock.advance(100'000);
  }
  board->reset();
  EXPECT_EQ(board->memory().load(0xfffffff0, 1), 0xf4u);
}

TEST_F(PcBoardTest, a_slot_fills_and_empties_by_acpi) {
  build();
  DeviceTree& tree = board->site().tree();
  std::string gone;
  tree.on_removal([&gone](const DeviceRequest&, const std::string& path) { gone = path; });
  ASSERT_TRUE(hot_add(board->site(), {"edu", {{"addr", "5"}}, "x"}));
  EXPECT_EQ(in(0xae00, 4), 1u << 5);
  EXPECT_EQ(in(0xafe0) & 2, 2u);
  ASSERT_TRUE(hot_remove(board->site(), "/machine/peripheral/x"));
  EXPECT_EQ(in(0xae04, 4), 1u << 5);
  EXPECT_NE(tree.find("x"), nullptr);
  out(0xae08, 1u << 5, 4);
  EXPECT_EQ(tree.find("x"), nullptr);
  EXPECT_EQ(gone, "/machine/peripheral/x");
  // The chipset's own slot is nobody's to take.
  out(0xae08, 1u << 1, 4);
  EXPECT_EQ(in(0xae0c, 4) & 3, 0u);
  out(0xcf8, 0x80000800, 4);
  EXPECT_EQ(in(0xcfc, 4), 0x70008086u);
}

TEST_F(PcBoardTest, a_reset_carries_out_a_removal) {
  build();
  ASSERT_TRUE(hot_add(board->site(), {"edu", {}, "x"}));
  ASSERT_TRUE(hot_remove(board->site(), "x"));
  board->reset();
  EXPECT_EQ(board->site().tree().find("x"), nullptr);
  EXPECT_FALSE(hot_remove(board->site(), "x"));
}

TEST_F(PcBoardTest, what_stays_stays) {
  build();
  for (const char* driver : {"VGA", "isa-debug-exit", "ide-hd", "nonesuch"})
    EXPECT_FALSE(hot_add(board->site(), {driver, {}, ""})) << driver;
}

TEST_F(PcBoardTest, the_boot_order_changes_for_the_next_reset) {
  config.boot_once = "d";
  build();
  EXPECT_FALSE(board->set_boot_order("z"));
  EXPECT_FALSE(board->set_boot_order("cc"));
  ASSERT_TRUE(board->set_boot_order("nda"));
  const auto cmos = [this](unsigned index) {
    out(0x70, index);
    return in(0x71);
  };
  EXPECT_EQ(cmos(0x3d), 0x34u);
  board->reset();
  EXPECT_EQ(cmos(0x3d), 0x34u);
  EXPECT_EQ(cmos(0x38) >> 4, 1u);
}

}  // namespace
}  // namespace rhea::machine
