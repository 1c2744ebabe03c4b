#include "devices/storage/pflash.h"

#include <gtest/gtest.h>

namespace rhea::devices {
namespace {

struct PflashTest : testing::Test {
  Pflash make(bool read_only = false) {
    return Pflash({.array = *array,
                   .size = 4 * Pflash::kBlock,
                   .read_only = read_only,
                   .array_mode = [this](bool on) { shown = on; },
                   .changed = [this](uint64_t at, uint64_t n) { changed_at = at, changed_bytes = n; }});
  }
  std::unique_ptr<memory::RamBlock> array = *memory::RamBlock::create("flash", 4 * Pflash::kBlock);
  bool shown = true;
  uint64_t changed_at = 0, changed_bytes = 0;
};

TEST_F(PflashTest, firmware_tells_it_from_ram_and_rom) {
  Pflash f = make();
  array->host()[0x1000] = 0x33;
  f.io_write(0x1000, 1, 0x50);
  EXPECT_EQ(f.io_read(0x1000, 1), 0x33u);
  f.io_write(0x1000, 1, 0x70);
  EXPECT_FALSE(shown);
  EXPECT_EQ(f.io_read(0x1000, 1), 0u);
  f.io_write(0x1000, 1, 0xff);
  EXPECT_TRUE(shown);
  EXPECT_EQ(f.io_read(0x1000, 1), 0x33u);
}

TEST_F(PflashTest, erase_sets_and_program_clears_bits) {
  Pflash f = make();
  f.io_write(0x1234, 1, 0x20);
  f.io_write(0x1234, 1, 0xd0);
  EXPECT_EQ(changed_at, 0x1000u);
  EXPECT_EQ(changed_bytes, Pflash::kBlock);
  EXPECT_EQ(f.io_read(0, 1) & 0xbf, 0x80u);
  f.io_write(0x1234, 1, 0x10);
  f.io_write(0x1234, 1, 0x5a);
  f.io_write(0x1234, 1, 0x40);
  f.io_write(0x1234, 1, 0x0f);
  f.io_write(0, 1, 0xff);
  EXPECT_EQ(f.io_read(0x1233, 4), 0xffff0affu);
  EXPECT_EQ(changed_at, 0x1234u);
}

TEST_F(PflashTest, buffered_program) {
  Pflash f = make();
  std::fill_n(array->host(), 64, uint8_t{0xff});
  f.io_write(8, 1, 0xe8);
  f.io_write(8, 1, 3);
  for (uint64_t i = 0; i < 4; ++i) f.io_write(8 + i, 1, 0x10 + i);
  EXPECT_EQ(array->host()[8], 0xff);
  f.io_write(8, 1, 0xd0);
  f.io_write(8, 1, 0xff);
  EXPECT_EQ(f.io_read(8, 4), 0x13121110u);
}

TEST_F(PflashTest, read_only_chip_reports_errors) {
  Pflash f = make(true);
  f.io_write(0, 1, 0x10);
  f.io_write(0, 1, 0x00);
  EXPECT_EQ(f.io_read(0, 1), 0x90u);
  f.io_write(0, 1, 0x20);
  f.io_write(0, 1, 0xd0);
  EXPECT_EQ(f.io_read(0, 1), 0xb0u);
  EXPECT_EQ(changed_bytes, 0u);
}

TEST_F(PflashTest, answers_the_cfi_query) {
  Pflash f = make();
  f.io_write(0x55, 1, 0x98);
  EXPECT_EQ(f.io_read(0x10, 4), 0x01595251u);
  EXPECT_EQ(f.io_read(0x27, 1), 14u);
  f.io_write(0, 1, 0x90);
  EXPECT_EQ(f.io_read(0, 2), 0x1889u);
}

}  // namespace
}  // namespace rhea::devices
