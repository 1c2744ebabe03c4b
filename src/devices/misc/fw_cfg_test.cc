#include "devices/misc/fw_cfg.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>
#include <mutex>

namespace rhea::devices {
namespace {

class FwCfgTest : public testing::Test {
 protected:
  FwCfgTest() {
    ram = *memory::RamBlock::create("ram", 0x10000);
    EXPECT_TRUE(space.map_ram(Gpa{0}, *ram, 0, ram->size()));
  }
  std::string read(uint16_t key, unsigned count) {
    cfg.io_write(0, 2, key);
    std::string text;
    for (unsigned i = 0; i < count; ++i) text.push_back(static_cast<char>(cfg.io_read(1, 1)));
    return text;
  }
  void be32(uint32_t at, uint32_t value) { space.store(at, 4, __builtin_bswap32(value)); }
  uint32_t dma(uint32_t control, uint32_t length, uint32_t address) {
    be32(0x100, control);
    be32(0x104, length);
    be32(0x108, 0);
    be32(0x10c, address);
    cfg.io_write(8, 4, __builtin_bswap32(0x100));
    return __builtin_bswap32(static_cast<uint32_t>(space.load(0x100, 4)));
  }
  std::recursive_mutex lock;
  memory::AddressSpace space{"memory", lock};
  std::unique_ptr<memory::RamBlock> ram;
  FwCfg cfg{{.memory = space}};
};

TEST_F(FwCfgTest, signature_and_features) {
  EXPECT_EQ(read(0, 6), std::string("QEMU\0\0", 6));
  EXPECT_EQ(read(1, 4), std::string("\3\0\0\0", 4));
  EXPECT_EQ(cfg.io_read(4, 4), 0x554d4551u);
  EXPECT_EQ(cfg.io_read(8, 4), 0x47464320u);
}

TEST_F(FwCfgTest, absent_items_read_zero) {
  EXPECT_EQ(read(0x1234, 2), std::string("\0\0", 2));
}

TEST_F(FwCfgTest, directory_lists_files_by_name) {
  cfg.set_file("etc/b", {1, 2, 3});
  cfg.set_file("etc/a", {9});
  const std::string text = read(0x19, 4 + 2 * 64);
  EXPECT_EQ(text[3], 2);
  EXPECT_EQ(text.substr(12, 5), "etc/a");
  EXPECT_EQ(text[7], 1);
  EXPECT_EQ(text[9], 0x21);
  EXPECT_EQ(text.substr(76, 5), "etc/b");
  EXPECT_EQ(read(0x20, 3), "\1\2\3");
}

TEST_F(FwCfgTest, items_may_be_files) {
  const std::string path = testing::TempDir() + "fw_cfg_test." + std::to_string(::getpid());
  std::ofstream(path) << "0123456789";
  auto file = *FileBytes::open(path);
  ::unlink(path.c_str());
  cfg.set_item(0x11, file, 2);
  EXPECT_EQ(read(0x11, 9), std::string("23456789\0", 9));
  space.store(0x208, 8, ~0ull);
  EXPECT_EQ(dma(0x11 << 16 | 8 | 2, 10, 0x200), 0u);
  EXPECT_EQ(space.load(0x200, 8), 0x3938373635343332u);
  EXPECT_EQ(space.load(0x208, 4), 0xffff0000u);
  cfg.set_item(0x11, {7});
  EXPECT_EQ(read(0x11, 2), std::string("\7\0", 2));
}

TEST_F(FwCfgTest, dma_reads_select_skip_and_zero_fill) {
  cfg.set_file("f", {'a', 'b', 'c', 'd'});
  space.store(0x204, 4, 0xffffffff);
  EXPECT_EQ(dma(0x0020000a, 6, 0x200), 0u);
  EXPECT_EQ(space.load(0x200, 4), 0x64636261u);
  EXPECT_EQ(space.load(0x204, 4), 0xffff0000u);
  EXPECT_EQ(dma(0x0020000c, 2, 0), 0u);
  EXPECT_EQ(dma(2, 1, 0x300), 0u);
  EXPECT_EQ(space.load(0x300, 1), 'c');
}

TEST_F(FwCfgTest, writes_need_a_writable_item_and_fit) {
  uint64_t written = 0;
  cfg.set_file("ro", {1});
  cfg.set_file("rw", {1, 2}, true, {.written = [&](uint64_t, uint64_t size) { written = size; }});
  space.store(0x400, 2, 0xbeef);
  EXPECT_EQ(dma(0x00200018, 1, 0x400), 1u);
  EXPECT_EQ(dma(0x00210018, 3, 0x400), 1u);
  EXPECT_EQ(dma(0x00210018, 2, 0x400), 0u);
  EXPECT_EQ(written, 2u);
  EXPECT_EQ((*cfg.file("rw"))[0], 0xef);
}

TEST_F(FwCfgTest, dma_to_nowhere_is_an_error) {
  cfg.set_file("f", {1});
  EXPECT_EQ(dma(0x0020000a, 0xffffffff, 0x80000000), 1u);
  cfg.io_write(8, 4, 0xffffffff);
}

TEST_F(FwCfgTest, selecting_may_renew_the_contents) {
  cfg.set_file("f", {1}, false, {.selected = [&] { cfg.set_item(0x20, {7}); }});
  EXPECT_EQ(read(0x20, 1), "\7");
}

}  // namespace
}  // namespace rhea::devices
