#include "machine/pc/q35_board.h"

#include <cstring>

#include "machine/pc/board_fixture.h"

namespace rhea::machine {
namespace {

struct Q35BoardTest : BoardTest {
  void build(const char* machine = "q35") {
    config.machine = find_machine_type(machine);
    BoardTest::build();
  }
  // The guest reads every file: what is built anew then, is.
  void read_files() {
    for (uint16_t key = 0x20; key < 0x60; ++key) out(0x510, key, 2);
  }
  const uint8_t* table(const char* signature) {
    const std::vector<uint8_t>& all = *board->fw_cfg().file("etc/acpi/tables");
    for (size_t i = 0; i + 36 <= all.size(); ++i) {
      if (std::memcmp(&all[i], signature, 4) == 0) return &all[i];
    }
    return nullptr;
  }
};

TEST_F(Q35BoardTest, chipset_is_where_firmware_looks) {
  build();
  EXPECT_EQ(pci_in(0, 0, 4), 0x29c08086u);
  EXPECT_EQ(pci_in(0xf8, 0, 4), 0x29188086u);
  EXPECT_EQ(pci_in(0xfb, 0, 4), 0x29308086u);
  EXPECT_EQ(pci_in(8, 0, 4), 0xffffffffu);
}

TEST_F(Q35BoardTest, acpi_tables_tell_what_the_firmware_has_set) {
  build();
  pci_out(0, 0x60, 0xe0000001, 4);
  pci_out(0xf8, 0x40, 0xb001, 4);
  pci_out(0xf8, 0x44, 0x80, 1);
  read_files();
  const uint8_t* mcfg = table("MCFG");
  ASSERT_NE(mcfg, nullptr);
  uint64_t base = 0;
  std::memcpy(&base, mcfg + 44, 8);
  EXPECT_EQ(base, 0xe0000000u);
  EXPECT_EQ(mcfg[55], 255);
  const uint8_t* fadt = table("FACP");
  uint32_t control = 0;
  std::memcpy(&control, fadt + 64, 4);
  EXPECT_EQ(control, 0xb004u);
  EXPECT_EQ(fadt[52], 0x02);  // ACPI enable
}

TEST_F(Q35BoardTest, guest_can_reset_and_power_off) {
  build();
  out(0xcf9, 2);
  out(0xcf9, 6);
  EXPECT_EQ(host.resets, 1);
  pci_out(0xf8, 0x40, 0x601, 4);
  pci_out(0xf8, 0x44, 0x80, 1);
  out(0x604, 0x2000, 2);
  EXPECT_EQ(host.power_offs, 1);
}

TEST_F(Q35BoardTest, smis_go_to_all_when_the_firmware_has_asked) {
  build();
  pci_out(0xf8, 0x40, 0x601, 4);
  pci_out(0xf8, 0x44, 0x80, 1);
  out(0x630, 0x21, 4);
  out(0xb2, 0x55);
  EXPECT_NE(cores[0]->pending & cpu::pending::kSmi, 0u);
  EXPECT_EQ(cores[1]->pending & cpu::pending::kSmi, 0u);
  board->fw_cfg().change_file("etc/smi/requested-features", {1});
  read_files();
  EXPECT_EQ(*board->fw_cfg().file("etc/smi/features-ok"), std::vector<uint8_t>{1});
  out(0xb2, 0x55);
  EXPECT_NE(cores[1]->pending & cpu::pending::kSmi, 0u);
}

TEST_F(Q35BoardTest, root_ports_and_bridges_have_buses) {
  config.devices = {{"pcie-root-port", {{"slot", "1"}}, "rp"},
                    {"edu", {{"bus", "rp"}}},
                    {"pci-bridge", {{"chassis_nr", "1"}}, "br"},
                    {"edu", {{"bus", "br"}, {"addr", "1"}}}};
  build();
  EXPECT_EQ(pci_in(8, 0, 4), 0x000c1b36u);
  EXPECT_EQ(pci_in(16, 0, 4), 0x00011b36u);
}

TEST_F(Q35BoardTest, boot_order_of_once_is_for_the_first_boot) {
  config.boot_order = "c";
  config.boot_once = "d";
  build();
  const auto order = [this] {
    out(0x70, 0x3d);
    return in(0x71);
  };
  EXPECT_EQ(order(), 3u);
  board->reset();
  EXPECT_EQ(order(), 2u);
}

TEST_F(Q35BoardTest, isapc_has_neither_pci_nor_acpi) {
  build("isapc");
  EXPECT_EQ(in(0xcfc, 4), 0xffffffffu);
  EXPECT_EQ(board->fw_cfg().file("etc/acpi/tables"), nullptr);
  EXPECT_EQ(board->memory().load(0xf0000, 1), 0xf4u);
  board->memory().store(0xf0000, 1, 0x12);
  EXPECT_EQ(board->memory().load(0xf0000, 1), 0x12u);
  config.devices = {{"edu", {}}};
  EXPECT_FALSE(PcBoard::create(config, {host, lock, clock, clock, {cores[0].get()}}));
}

}  // namespace
}  // namespace rhea::machine
