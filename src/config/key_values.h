// The two spellings of an option's argument, "file=a.img,if=virtio" and {"file": "a.img", "if": "virtio"}, as
// a plain list of keys and values. In the first, ",," stands for a comma inside a value, a first word without
// "=" is the value of the option's implied key, and a later one is a flag: "wait" means wait=on and "nowait"
// wait=off.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace rhea::config {

struct KeyValue {
  std::string key;
  std::optional<std::string> value;  // nothing: a bare word

  bool operator==(const KeyValue&) const = default;
};
using KeyValues = std::vector<KeyValue>;

// An empty `implied_key` leaves a first bare word bare. Text that begins with '{' is JSON: nested members
// become dotted keys ("file.filename", "server.0.host"), numbers and booleans become text ("on", "off").
Result<KeyValues> split_options(std::string_view text, std::string_view implied_key);

// Removes the last value given for `key` (and all before it) from the list and returns it.
std::optional<std::string> take(KeyValues& list, std::string_view key);

// "help" or "?" as the whole argument or as its last word.
bool asks_for_help(std::string_view text);

// The candidate that a slip of the pen may have meant; nothing if none is near.
std::optional<std::string_view> nearest(std::string_view given, std::span<const std::string_view> candidates);
// ", did you mean 'x'?" or nothing.
std::string did_you_mean(std::string_view given, std::span<const std::string_view> candidates);

}  // namespace rhea::config
