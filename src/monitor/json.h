// JSON as QMP speaks it (QEMU's docs/interop/qmp-spec.txt): values one after another without separators,
// strings in double or single quotes; answers with a blank after commas and colons.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "base/result.h"

namespace rhea::monitor {

using Json = nlohmann::ordered_json;

// One line, or with `pretty` indented by four blanks. Only ASCII comes out.
std::string write_json(const Json& value, bool pretty = false);

// A whole text. Errors: Invalid, in QEMU's words without "JSON parse error".
Result<Json> parse_json(std::string_view text);

// Cuts a stream into values. What is no JSON is an error; reading goes on behind it.
class JsonStream {
 public:
  // A message larger or deeper than this is an error. Hostile peers meet these.
  static constexpr size_t kMostBytes = size_t{1} << 20;
  static constexpr int kDeepest = 200;

  // Takes bytes up to the end of the first value in them and returns how many. `value` then holds it, if one
  // has ended.
  size_t take(std::string_view bytes, std::optional<Result<Json>>& value);
  void restart();

 private:
  enum class State : uint8_t { Between, Word, Nested, String, Escape };
  void finish(std::optional<Result<Json>>& value);

  State state_ = State::Between;
  std::string text_;
  int braces_ = 0, brackets_ = 0;
  char quote_ = 0;
};

}  // namespace rhea::monitor
