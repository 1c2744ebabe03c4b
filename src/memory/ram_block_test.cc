#include "memory/ram_block.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>

namespace rhea::memory {
namespace {

constexpr uint64_t kSize = 3 * kPageSize;

class FileTest : public testing::Test {
 protected:
  FileTest() { EXPECT_EQ(::ftruncate(fd, kSize), 0); }
  ~FileTest() override { ::close(fd); }
  char byte(uint64_t offset) const {
    char value = 0;
    EXPECT_EQ(::pread(fd, &value, 1, static_cast<off_t>(offset)), 1);
    return value;
  }
  int fd = ::memfd_create("ram_block_test", MFD_CLOEXEC);
};

TEST_F(FileTest, shared_block_is_the_file) {
  ASSERT_EQ(::pwrite(fd, "x", 1, 5000), 1);
  auto block = RamBlock::create("ram", kSize, {.fd = fd, .shared = true}).value();
  EXPECT_EQ(block->host()[5000], 'x');
  block->host()[kSize - 1] = 'y';
  EXPECT_EQ(byte(kSize - 1), 'y');
  block.reset();
  EXPECT_EQ(byte(kSize - 1), 'y');
}

TEST_F(FileTest, private_block_begins_with_the_file_and_leaves_it_alone) {
  ASSERT_EQ(::pwrite(fd, "x", 1, 5000), 1);
  auto block = RamBlock::create("ram", kSize, {.fd = fd}).value();
  EXPECT_EQ(block->host()[5000], 'x');
  block->host()[5000] = 'z';
  EXPECT_EQ(byte(5000), 'x');
}

TEST_F(FileTest, discarding_block_empties_the_file) {
  auto block = RamBlock::create("ram", kSize, {.fd = fd, .shared = true, .discard = true}).value();
  block->host()[5000] = 'z';
  EXPECT_EQ(byte(5000), 'z');
  block.reset();
  EXPECT_EQ(byte(5000), 0);
}

TEST(RamBlock, populate_takes_every_page) {
  auto block = RamBlock::create("ram", 64 * kPageSize).value();
  const Result<> done = block->populate(3);
  if (!done) GTEST_SKIP() << done.error().message();  // a kernel before 5.14
  std::array<unsigned char, 64> resident{};
  ASSERT_EQ(::mincore(block->host(), block->size(), resident.data()), 0);
  for (unsigned char page : resident) EXPECT_EQ(page & 1, 1);
}

TEST(RamBlock, an_impossible_size_is_refused) {
  EXPECT_FALSE(RamBlock::create("ram", 0));
  EXPECT_FALSE(RamBlock::create("ram", uint64_t{1} << 60));
}

}  // namespace
}  // namespace rhea::memory
