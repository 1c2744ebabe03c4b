#include "devices/dma/i8237.h"

#include <gtest/gtest.h>

#include <mutex>

namespace rhea::devices {
namespace {

class I8237Test : public testing::Test {
 protected:
  I8237Test() {
    ram = *memory::RamBlock::create("ram", 0x40000);
    EXPECT_TRUE(space.map_ram(Gpa{0}, *ram, 0, ram->size()));
  }
  void put(uint64_t at, uint64_t value) { dma.io_write(at, 1, value); }
  std::recursive_mutex lock;
  memory::AddressSpace space{"memory", lock};
  std::unique_ptr<memory::RamBlock> ram;
  I8237Pair dma{{.memory = space}};
};

TEST_F(I8237Test, bytes_move_to_the_page_until_terminal_count) {
  put(0x0c, 0);
  put(0x04, 0x34);
  put(0x04, 0x12);
  put(0x05, 3);
  put(0x05, 0);
  put(0x30 + 1, 2);
  put(0x0b, 0x46);
  const uint8_t bytes[6] = {1, 2, 3, 4, 5, 6};
  EXPECT_EQ(dma.to_memory(2, bytes), 0u);
  put(0x0a, 2);
  EXPECT_EQ(dma.to_memory(2, bytes), 4u);
  EXPECT_EQ(space.load(0x21234, 4), 0x04030201u);
  EXPECT_TRUE(dma.terminal_count(2));
  EXPECT_EQ(dma.io_read(8, 1), 4u);
  EXPECT_EQ(dma.io_read(8, 1), 0u);
  EXPECT_EQ(dma.io_read(0x0f, 1), 0xffu);
}

TEST_F(I8237Test, words_count_in_words_and_auto_initialize) {
  put(0x10 + 2 * 0x02, 0x00);
  put(0x10 + 2 * 0x02, 0x01);  // word address 0x100
  put(0x10 + 2 * 0x03, 1);
  put(0x10 + 2 * 0x03, 0);
  put(0x30 + 11, 1);
  put(0x10 + 2 * 0x0b, 0x59);
  put(0x10 + 2 * 0x0a, 1);
  space.store(0x200, 4, 0xaabbccdd);
  uint8_t to[4] = {};
  EXPECT_EQ(dma.from_memory(5, to), 4u);
  EXPECT_EQ(to[3], 0xaa);
  EXPECT_EQ(dma.from_memory(5, to), 4u);
}

TEST_F(I8237Test, the_flip_flop_selects_bytes) {
  put(0x0c, 0);
  put(0x00, 0x11);
  put(0x00, 0x22);
  EXPECT_EQ(dma.io_read(0, 1), 0x11u);
  EXPECT_EQ(dma.io_read(0, 1), 0x22u);
  put(0x0d, 0);
  EXPECT_EQ(dma.io_read(0, 1), 0x11u);
}

}  // namespace
}  // namespace rhea::devices
