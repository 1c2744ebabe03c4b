#include "block/formats/qcow2/dirty_bits.h"

#include <gtest/gtest.h>

namespace rhea::block::qcow2 {
namespace {

constexpr uint64_t kCell = 512;

TEST(DirtyBits, new_bits_are_clean) {
  const DirtyBits bits(10000, kCell);
  EXPECT_EQ(bits.cells(), 3u);
  EXPECT_FALSE(bits.next(0));
}

TEST(DirtyBits, runs_reach_over_cells) {
  DirtyBits bits(3 * kCell * 8, kCell);
  bits.set(4090, 4200);
  const auto run = bits.next(0);
  ASSERT_TRUE(run);
  EXPECT_EQ(run->first, 4090u);
  EXPECT_EQ(run->count, 4200u);
  EXPECT_EQ(bits.content(0), DirtyBits::Content::Mixed);
  EXPECT_EQ(bits.content(1), DirtyBits::Content::Ones);
  EXPECT_FALSE(bits.next(4090 + 4200));
}

TEST(DirtyBits, single_bits_are_found) {
  DirtyBits bits(5000, kCell);
  bits.set(4999, 7);  // cut at the end
  bits.set(17, 1);
  ASSERT_TRUE(bits.next(0));
  EXPECT_EQ(bits.next(0)->first, 17u);
  EXPECT_EQ(bits.next(0)->count, 1u);
  EXPECT_EQ(bits.next(18)->first, 4999u);
  EXPECT_EQ(bits.next(18)->count, 1u);
}

TEST(DirtyBits, shrinking_forgets_what_growing_back_does_not_bring) {
  DirtyBits bits(kCell * 8, kCell);
  bits.set(0, kCell * 8);
  bits.resize(100);
  bits.resize(kCell * 8);
  ASSERT_TRUE(bits.next(0));
  EXPECT_EQ(bits.next(0)->count, 100u);
  EXPECT_FALSE(bits.next(100));
}

}  // namespace
}  // namespace rhea::block::qcow2
