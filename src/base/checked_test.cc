#include "base/checked.h"

#include <gtest/gtest.h>

namespace rhea {
namespace {

TEST(Checked, results_that_wrap_are_refused) {
  EXPECT_EQ(checked_add<uint64_t>(1, 2), 3u);
  EXPECT_FALSE(checked_add<uint64_t>(UINT64_MAX, 1));
  EXPECT_FALSE(checked_sub<uint32_t>(1, 2));
  EXPECT_FALSE(checked_mul<uint64_t>(uint64_t{1} << 63, 2));
  EXPECT_FALSE(checked_add<uint8_t>(200, 100));
}

TEST(Checked, cast_keeps_the_value_or_fails) {
  EXPECT_EQ(checked_cast<uint8_t>(255), 255);
  EXPECT_FALSE(checked_cast<uint8_t>(256));
  EXPECT_FALSE(checked_cast<uint64_t>(-1));
  EXPECT_FALSE(checked_cast<int32_t>(UINT32_MAX));
}

TEST(Checked, ranges_do_not_wrap) {
  EXPECT_TRUE(range_within(10, 0, 10));
  EXPECT_TRUE(range_within(0, 10, 10));
  EXPECT_FALSE(range_within(1, 10, 10));
  EXPECT_FALSE(range_within(UINT64_MAX, 2, 10));
  EXPECT_TRUE(ranges_overlap(0, 10, 9, 1));
  EXPECT_FALSE(ranges_overlap(0, 10, 10, 1));
  EXPECT_TRUE(ranges_overlap(UINT64_MAX - 1, 2, UINT64_MAX, 1));
  EXPECT_FALSE(ranges_overlap(5, 0, 0, 10));
}

TEST(Checked, alignment) {
  EXPECT_EQ(align_down<uint64_t>(4097, 4096), 4096u);
  EXPECT_EQ(checked_align_up<uint64_t>(4097, 4096), 8192u);
  EXPECT_FALSE(checked_align_up<uint64_t>(UINT64_MAX, 4096));
  EXPECT_TRUE(is_aligned<uint64_t>(8192, 4096));
}

}  // namespace
}  // namespace rhea
