#include "base/result.h"

#include <gtest/gtest.h>

#include <cerrno>

#include "base/failf.h"

namespace rhea {
namespace {

Result<int> half(int value) {
  if (value % 2 != 0) return failf(ErrorKind::Invalid, "{} is odd", value);
  return value / 2;
}

Result<int> quarter(int value) {
  const int first = TRY(half(value));
  return TRY_IN(half(first), "halving again");
}

Result<> nothing(int value) {
  TRY(quarter(value));
  return {};
}

TEST(Result, try_passes_values_and_errors_on) {
  EXPECT_EQ(quarter(8), 2);
  EXPECT_EQ(quarter(3).error().message(), "3 is odd");
  EXPECT_TRUE(nothing(4));
  EXPECT_FALSE(nothing(5));
}

TEST(Result, context_added_last_is_printed_first) {
  EXPECT_EQ(quarter(6).error().message(), "halving again: 3 is odd");
  EXPECT_EQ(std::move(quarter(6).error()).in("disk.img").message(), "disk.img: halving again: 3 is odd");
}

TEST(Result, errno_becomes_a_kind_and_the_hosts_text) {
  const Error error = fail_errno(ENOENT, "opening 'x'").error();
  EXPECT_EQ(error.kind(), ErrorKind::NotFound);
  EXPECT_EQ(error.message(), "opening 'x': No such file or directory");
}

}  // namespace
}  // namespace rhea
