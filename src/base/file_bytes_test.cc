#include "base/file_bytes.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <fstream>

namespace rhea {
namespace {

TEST(FileBytes, reads_at_offsets_and_zeros_what_is_gone) {
  std::string path = testing::TempDir() + "file_bytes_test." + std::to_string(::getpid());
  std::ofstream(path) << "0123456789";
  auto file = FileBytes::open(path);
  ASSERT_TRUE(file);
  ASSERT_NE(*file, nullptr);
  EXPECT_EQ((*file)->size(), 10u);
  std::array<uint8_t, 4> bytes{};
  (*file)->read(3, bytes);
  EXPECT_EQ(std::string(bytes.begin(), bytes.end()), "3456");
  ASSERT_EQ(::truncate(path.c_str(), 5), 0);
  (*file)->read(3, bytes);
  EXPECT_EQ(std::string(bytes.begin(), bytes.end()), std::string("34\0\0", 4));
  ::unlink(path.c_str());
}

TEST(FileBytes, only_regular_files) {
  auto device = FileBytes::open("/dev/null");
  ASSERT_TRUE(device);
  EXPECT_EQ(*device, nullptr);
  EXPECT_FALSE(FileBytes::open("/nonexistent/file"));
}

}  // namespace
}  // namespace rhea
