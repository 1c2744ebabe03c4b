#include "base/log.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <sstream>

#include "base/trace.h"

namespace rhea {
namespace {

constexpr int64_t kSecond = 1'000'000'000;

inline trace::Event<unsigned, int> trace_first{"unit_first", "a {} b {}"};
inline trace::Event<> trace_second{"unit_second", "nothing"};

class LogFile : public testing::Test {
 protected:
  LogFile() { EXPECT_TRUE(set_log_file(path_)); }
  ~LogFile() override {
    log_mask = 0;
    ::unlink(path_.c_str());
  }
  std::string text() const {
    std::ostringstream out;
    out << std::ifstream(path_).rdbuf();
    return out.str();
  }
  std::string path_ = testing::TempDir() + "rhea_log_test_" + std::to_string(::getpid());
};

TEST_F(LogFile, only_items_that_are_on_are_written) {
  ASSERT_TRUE(set_log_items("int,unimp"));
  log_to(LogItem::Int, "vector {}", 14);
  log_to(LogItem::Exec, "not {}", "this");
  guest_error("nor this");
  EXPECT_EQ(text(), "vector 14\n");
}

TEST_F(LogFile, trace_events_are_chosen_by_glob) {
  EXPECT_EQ(trace::enable("unit_*"), 2u);
  EXPECT_EQ(trace::enable("-unit_sec*"), 1u);
  EXPECT_EQ(trace::enable("no_such"), 0u);
  trace_first(1u, -2);
  trace_second();
  EXPECT_EQ(text(), "unit_first a 1 b -2\n");
  trace::enable("-*");
}

TEST_F(LogFile, guest_errors_are_limited) {
  ASSERT_TRUE(set_log_items("guest_errors"));
  for (int i = 0; i < 5000; ++i) guest_error("write {}", i);
  const std::string all = text();
  EXPECT_LT(std::ranges::count(all, '\n'), 4000);
}

TEST(Log, unknown_item_is_named_and_changes_nothing) {
  log_mask = 0;
  const auto result = set_log_items("int,bogus");
  ASSERT_FALSE(result);
  EXPECT_NE(result.error().message().find("'bogus'"), std::string::npos);
  EXPECT_FALSE(log_on(LogItem::Int));
}

TEST(Log, all_switches_everything_on) {
  ASSERT_TRUE(set_log_items("all"));
  EXPECT_TRUE(log_on(LogItem::Exec));
  EXPECT_TRUE(log_on(LogItem::GuestErrors));
  log_mask = 0;
}

TEST(Log, file_in_missing_folder_is_an_error_with_its_name) {
  const auto result = set_log_file("/nonexistent/folder/log");
  ASSERT_FALSE(result);
  EXPECT_NE(result.error().message().find("/nonexistent/folder/log"), std::string::npos);
}

TEST(RateLimiter, burst_passes_then_the_rate) {
  RateLimiter limiter(3, 2);
  int passed = 0;
  for (int i = 0; i < 10; ++i) passed += limiter.allow(0) ? 1 : 0;
  EXPECT_EQ(passed, 3);
  EXPECT_EQ(limiter.take_suppressed(), 7u);
  EXPECT_FALSE(limiter.allow(kSecond / 4));
  EXPECT_TRUE(limiter.allow(kSecond / 2 + 1));
  EXPECT_EQ(limiter.take_suppressed(), 1u);
}

}  // namespace
}  // namespace rhea
