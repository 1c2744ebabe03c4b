#include "monitor/readline.h"

#include <gtest/gtest.h>

#include "monitor/expression.h"

namespace rhea::monitor {
namespace {

struct ReadlineTest : testing::Test {
  void type(std::string_view keys) {
    for (char c : keys) line.handle(static_cast<uint8_t>(c));
  }
  std::string shown;
  std::vector<std::string> lines;
  Readline line{"> ",
                {.print = [this](std::string_view text) { shown += text; },
                 .line = [this](std::string text) { lines.push_back(std::move(text)); },
                 .complete =
                     [](std::string_view) {
                       return std::vector<std::string>{"info", "inject", "quit"};
                     }}};
};

TEST_F(ReadlineTest, keys_edit) {
  type("abd\033[Dc\033OH0\033[F5\r\n");
  EXPECT_EQ(lines.back(), "0abcd5");
  type("one two\027\x7f three\001\013x\n");
  EXPECT_EQ(lines.back(), "x");
  type("abc\002\004\x15zz\r");
  EXPECT_EQ(lines.back(), "zz");
  type("abc\033[3~\001\033[3~\r");
  EXPECT_EQ(lines.back(), "bc");
}

TEST_F(ReadlineTest, history_goes_both_ways) {
  type("first\rsecond\r\033[A\033[A\r");
  EXPECT_EQ(lines.back(), "first");
  EXPECT_EQ(line.history(), (std::vector<std::string>{"second", "first"}));
  type("unfi\020\020\016\016nished\r");
  EXPECT_EQ(lines.back(), "unfinished");
}

TEST_F(ReadlineTest, a_secret_is_shown_as_stars_and_kept_nowhere) {
  std::string secret;
  line.ask_secret("Password: ", [&](std::string text) { secret = std::move(text); });
  shown.clear();
  type("ab\tx\033[D\x7fq\020\r");
  EXPECT_EQ(secret, "aqx");
  EXPECT_EQ(shown.find_first_of("abqx"), shown.npos);
  EXPECT_TRUE(line.history().empty() && lines.empty());
  type("quit\r");
  EXPECT_EQ(lines.back(), "quit");
}

TEST_F(ReadlineTest, tab_completes) {
  type("q\t\r");
  EXPECT_EQ(lines.back(), "quit ");
  type("i\t");
  EXPECT_NE(shown.find("info      inject\n> in"), std::string::npos);
  type("f\t\r");
  EXPECT_EQ(lines.back(), "info ");
}

TEST_F(ReadlineTest, anything_may_be_typed) {
  uint32_t seed = 1;
  for (int i = 0; i < 100'000; ++i) {
    seed = seed * 1664525 + 1013904223;
    line.handle(static_cast<uint8_t>(seed >> 24));
  }
  type(std::string(10'000, 'x') + "\r");
  EXPECT_LE(lines.back().size(), Readline::kLongest);
}

std::string value(std::string_view text) {
  auto result = take_expression(text, [](std::string_view name) -> std::optional<uint64_t> {
    if (name == "eax") return 5;
    return std::nullopt;
  });
  return (result ? std::to_string(*result) : result.error().text()) +
         (text.empty() ? "" : "|" + std::string(text));
}

TEST(Expression, operators_and_names) {
  EXPECT_EQ(value("1+2*3"), "7");
  EXPECT_EQ(value(" 0x10 | 1 << "), "17|<< ");
  EXPECT_EQ(value("(1+2)*3 next"), "9|next");
  EXPECT_EQ(value("-~0 - 010"), "-7");
  EXPECT_EQ(value("$eax*'a'"), "485");
  EXPECT_EQ(value("6&3^1"), "3");
  EXPECT_EQ(value("10 /tmp"), "invalid char 't' in expression|tmp");
}

TEST(Expression, errors_are_in_qemus_words) {
  EXPECT_EQ(value(""), "unexpected end of expression");
  EXPECT_EQ(value("(1+"), "unexpected end of expression");
  EXPECT_EQ(value("$foo"), "unknown register");
  EXPECT_EQ(value("1/0"), "division by zero");
  EXPECT_EQ(value("1%(2-2)"), "division by zero");
  EXPECT_EQ(value("0xfffffffffffffffff"), "number too large|0xfffffffffffffffff");
  EXPECT_EQ(value("-9223372036854775808/-1"), "0");
  EXPECT_EQ(value(std::string(10'000, '(')).substr(0, 30), "expression is nested too deepl");
}

}  // namespace
}  // namespace rhea::monitor
