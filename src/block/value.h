// A tree of named values: what a format has to say about an image, printed by rhea-img as text and as JSON.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace rhea::block {

class Value {
 public:
  using Dict = std::vector<std::pair<std::string, Value>>;  // in the order of printing
  using List = std::vector<Value>;

  Value(bool value) : value_(value) {}
  Value(uint64_t value) : value_(value) {}
  Value(uint32_t value) : value_(uint64_t{value}) {}
  Value(int value) : value_(static_cast<uint64_t>(value)) {}
  Value(double value) : value_(value) {}
  Value(std::string value) : value_(std::move(value)) {}
  Value(const char* value) : value_(std::string(value)) {}
  Value(Dict value) : value_(std::move(value)) {}
  Value(List value) : value_(std::move(value)) {}

  template <class T>
  const T* as() const {
    return std::get_if<T>(&value_);
  }

 private:
  std::variant<bool, uint64_t, double, std::string, Dict, List> value_;
};

// As QEMU's tools print JSON: four spaces a level, members in the order given.
std::string to_json(const Value& value);
// On one line: {"a": 1, "b": [1, 2]}.
std::string to_compact_json(const Value& value);
// As `info` prints format specific information: "key: value" lines, '-' in keys as ' ', `indent` levels in.
std::string to_text(const Value::Dict& values, unsigned indent);
// A string as a JSON literal, with its quotes.
std::string json_quote(std::string_view text);

}  // namespace rhea::block
