#include "base/sizes.h"

#include <gtest/gtest.h>

namespace rhea {
namespace {

TEST(Sizes, numbers_without_suffix_are_default_units) {
  EXPECT_EQ(parse_size("512"), 512u);
  EXPECT_EQ(parse_size("512", kMiB), 512 * kMiB);
  EXPECT_EQ(parse_size("512b", kMiB), 512u);
}

TEST(Sizes, suffixes_are_powers_of_1024) {
  EXPECT_EQ(parse_size("10G"), 10 * kGiB);
  EXPECT_EQ(parse_size("64k"), 65536u);
  EXPECT_EQ(parse_size("64K"), 65536u);
  EXPECT_EQ(parse_size("1P"), kTiB << 10);
  EXPECT_EQ(parse_size("15E"), kTiB * 15 << 20);
}

TEST(Sizes, fractions_need_a_unit_and_round_down) {
  EXPECT_EQ(parse_size("1.5T"), kTiB + kTiB / 2);
  EXPECT_EQ(parse_size("0.1k"), 102u);
  EXPECT_FALSE(parse_size("1.5"));
  EXPECT_FALSE(parse_size("1.k"));
}

TEST(Sizes, hexadecimal_has_no_suffix) {
  EXPECT_EQ(parse_size("0x200"), 512u);
  EXPECT_FALSE(parse_size("0x200k"));
  EXPECT_FALSE(parse_size("0x"));
}

TEST(Sizes, overflow_is_out_of_range) {
  EXPECT_EQ(parse_size("18446744073709551615"), UINT64_MAX);
  EXPECT_EQ(parse_size("18446744073709551616").error().kind(), ErrorKind::OutOfRange);
  EXPECT_EQ(parse_size("16E").error().kind(), ErrorKind::OutOfRange);
  EXPECT_EQ(parse_size("15.9999E").value_or(0) >> 60, 15u);
}

TEST(Sizes, garbage_is_invalid) {
  for (const char* text : {"", "-1", "+1", " 1", "1 ", "G", "1GG", "1GiB", "1x", ".5k"}) {
    const auto result = parse_size(text);
    ASSERT_FALSE(result) << text;
    EXPECT_EQ(result.error().kind(), ErrorKind::Invalid);
  }
}

TEST(Sizes, human_text_has_three_digits_and_switches_at_1000) {
  EXPECT_EQ(human_size(0), "0 B");
  EXPECT_EQ(human_size(999), "999 B");
  EXPECT_EQ(human_size(1000), "0.977 KiB");
  EXPECT_EQ(human_size(10 * kGiB), "10 GiB");
  EXPECT_EQ(human_size(kGiB + kGiB / 2), "1.5 GiB");
  EXPECT_EQ(human_size_exact(200 * kMiB), "200 MiB (209715200 bytes)");
}

}  // namespace
}  // namespace rhea
