#include "monitor/json.h"

#include <gtest/gtest.h>

namespace rhea::monitor {
namespace {

std::string error_of(std::string_view text) {
  auto value = parse_json(text);
  return value ? "no error" : value.error().text();
}

// All values and errors in the text, as they come when it is cut into pieces of `size` bytes.
std::vector<std::string> stream(std::string_view text, size_t size) {
  JsonStream reader;
  std::vector<std::string> out;
  for (size_t at = 0; at < text.size(); at += size) {
    std::string_view piece = text.substr(at, size);
    while (!piece.empty()) {
      std::optional<Result<Json>> value;
      piece.remove_prefix(reader.take(piece, value));
      if (value) out.push_back(*value ? write_json(**value) : "! " + value->error().text());
    }
  }
  return out;
}

TEST(Json, is_written_as_qemu_does) {
  Json value = {
      {"a", 1}, {"b", {true, nullptr, "x\n\"\x01\xc3\xa4\xf0\x9f\x98\x80\xff"}}, {"c", Json::object()}};
  EXPECT_EQ(write_json(value),
            R"({"a": 1, "b": [true, null, "x\n\"\u0001\u00E4\uD83D\uDE00\uFFFD"], "c": {}})");
  EXPECT_EQ(write_json({{"a", {1, 2}}}, true), "{\n    \"a\": [\n        1,\n        2\n    ]\n}");
}

TEST(Json, both_quotes_and_all_escapes) {
  auto value =
      parse_json(
          R"({'a': "it's", "b": 'say "\u00e4\ud83d\ude00\/"', 'c': [-5, 18446744073709551615, 1.5e3]})")
          .value();
  EXPECT_EQ(value["a"], "it's");
  EXPECT_EQ(value["b"], "say \"\xc3\xa4\xf0\x9f\x98\x80/\"");
  EXPECT_EQ(value["c"][0], -5);
  EXPECT_EQ(value["c"][1], UINT64_MAX);
}

TEST(Json, errors_are_in_qemus_words) {
  EXPECT_EQ(error_of("{\"execute\":\n}"), "expecting value");
  EXPECT_EQ(error_of("{\"a\":1]"), "expected separator in dict");
  EXPECT_EQ(error_of("foo"), "invalid keyword 'foo'");
  EXPECT_EQ(error_of("{\"a\":tru}"), "invalid keyword 'tru'");
  EXPECT_EQ(error_of(R"({"a":1,"a":2})"), "duplicate key");
  for (const char* bad : {"", "{", "[1,", "\"abc", "{1:2}", "{\"a\" 1}", "\"\\x\"", "\"\\ud800\"", "1e999",
                          "--1", "\"\x01\"", "\"\xff\"", "[1]]", "{\"a\":1,}"})
    EXPECT_FALSE(parse_json(bad)) << bad;
}

TEST(JsonStream, values_need_no_separators) {
  std::string_view text = "{\"a\": \"}{\\\"\"}[1,[2]] 12 true\"x\" {'b':'\"'}\n foo ]{\"c\":1}";
  std::vector<std::string> expected = {
      R"({"a": "}{\""})",        "[1, [2]]",          "12",         "true", "\"x\"", R"({"b": "\""})",
      "! invalid keyword 'foo'", "! expecting value", R"({"c": 1})"};
  for (size_t size : {1, 2, 3, 7, 100}) EXPECT_EQ(stream(text, size), expected) << size;
}

TEST(JsonStream, what_is_too_deep_or_too_long_is_an_error) {
  auto deep = stream(std::string(100'000, '['), 4096);
  EXPECT_GT(deep.size(), 100u);
  EXPECT_EQ(deep.front(), "! nesting depth limit exceeded");
  auto words = stream("\"" + std::string(3 << 20, 'x') + "\" {}", 4096);
  EXPECT_EQ(words.front(), "! token size limit exceeded");
}

}  // namespace
}  // namespace rhea::monitor
