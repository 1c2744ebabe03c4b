#include "machine/firmware/fw_cfg_contents.h"

#include <gtest/gtest.h>

#include <map>

namespace rhea::machine {
namespace {

FirmwareConfig sample() {
  FirmwareConfig c;
  c.ram = RamLayout::of(uint64_t{6} << 30);
  c.topology = {.sockets = 2, .cores = 3, .threads = 1};
  c.cpus = 4;
  return c;
}

std::map<std::string, std::vector<uint8_t>> files_of(const FwCfgContents& c) {
  std::map<std::string, std::vector<uint8_t>> m;
  for (const FwCfgFile& f : c.files) m[f.name] = f.data;
  return m;
}

uint64_t item(const FwCfgContents& c, uint16_t key) {
  for (const FwCfgItem& i : c.items) {
    if (i.key != key) continue;
    uint64_t v = 0;
    for (size_t n = 0; n < i.data.size() && n < 8; n++) v |= uint64_t{i.data[n]} << (8 * n);
    return v;
  }
  return ~uint64_t{0};
}

TEST(FwCfgContents, numbers_are_those_of_the_machine) {
  FwCfgContents c = fw_cfg_contents(sample());
  EXPECT_EQ(item(c, 0x03), uint64_t{6} << 30);
  EXPECT_EQ(item(c, 0x05), 4u);
  EXPECT_EQ(item(c, 0x0f), 7u);  // cores take two bits: the last of socket 1 is 4 + 2
  EXPECT_EQ(item(c, 0x04), 0u);
}

TEST(FwCfgContents, cmos_has_the_disks_and_how_the_bios_counts_them) {
  FirmwareConfig c = sample();
  c.disks[0] = {2080, 16, 63, 1};
  c.disks[3] = {900, 15, 17, 2};
  std::map<uint8_t, uint8_t> cmos;
  for (CmosByte b : cmos_contents(c)) cmos[b.index] = b.value;
  EXPECT_EQ(cmos[0x12], 0xf0);
  EXPECT_EQ(cmos[0x19], 47);
  EXPECT_EQ(cmos[0x1b] | cmos[0x1c] << 8, 2080);
  EXPECT_EQ(cmos[0x1d], 16);
  EXPECT_EQ(cmos[0x20], 0xc8);
  EXPECT_EQ(cmos[0x23], 63);
  EXPECT_EQ(cmos[0x24], 0);
  EXPECT_EQ(cmos[0x39], 1 | 2 << 6);
}

TEST(FwCfgContents, files_for_tables_and_memory_are_there) {
  auto files = files_of(fw_cfg_contents(sample()));
  for (const char* name : {"etc/smbios/smbios-tables", "etc/smbios/smbios-anchor", "etc/system-states",
                           "etc/reserved-memory-end"}) {
    EXPECT_TRUE(files.contains(name)) << name;
  }
  EXPECT_EQ(files["etc/e820"].size(), 40u);
  EXPECT_FALSE(files.contains("bootorder"));
}

TEST(FwCfgContents, kernel_comes_first_in_the_boot_order) {
  FirmwareConfig c = sample();
  c.kernel = boot::Plan{};
  c.kernel->rom_name = "linuxboot.bin";
  c.kernel->kernel = {0x100000, {1, 2, 3}};
  c.boot_paths = {"/pci@i0cf8/ide@1,1/drive@0/disk@0"};
  FwCfgContents contents = fw_cfg_contents(c);
  auto files = files_of(contents);
  std::string order(files["bootorder"].begin(), files["bootorder"].end());
  EXPECT_EQ(order, std::string("/rom@genroms/linuxboot.bin\n/pci@i0cf8/ide@1,1/drive@0/disk@0\0", 61));
  EXPECT_EQ(item(contents, 0x08), 3u);
  EXPECT_EQ(item(contents, 0x07), 0x100000u);
  EXPECT_EQ(files["genroms/linuxboot.bin"].size() % 512, 0u);
}

TEST(Cmos, sizes_count_all_ram) {
  std::map<int, int> cmos;
  for (CmosByte b : cmos_contents(sample())) cmos[b.index] = b.value;
  EXPECT_EQ(cmos[0x34] | cmos[0x35] << 8, (0xc0000000 - 0x1000000) >> 16);
  EXPECT_EQ(cmos[0x5b] | cmos[0x5c] << 8 | cmos[0x5d] << 16, 0xc000);
  EXPECT_EQ(cmos[0x15] | cmos[0x16] << 8, 640);
  EXPECT_EQ(cmos[0x5f], 3);
  EXPECT_EQ(cmos[0x3d], 0x12);
  EXPECT_EQ(cmos[0x38], 0x30);
}

}  // namespace
}  // namespace rhea::machine
