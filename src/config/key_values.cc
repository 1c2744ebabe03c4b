#include "config/key_values.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/failf.h"

namespace rhea::config {
namespace {

using Json = nlohmann::json;

constexpr int kMaxJsonDepth = 16;

Result<> flatten(const Json& value, const std::string& key, int depth, KeyValues& out) {
  if (depth > kMaxJsonDepth)
    return failf(ErrorKind::Invalid, "JSON is nested deeper than {} levels", kMaxJsonDepth);
  if (value.is_object() || value.is_array()) {
    size_t index = 0;
    for (auto it = value.begin(); it != value.end(); ++it, ++index) {
      const std::string part = value.is_object() ? it.key() : std::to_string(index);
      TRY(flatten(*it, key.empty() ? part : key + "." + part, depth + 1, out));
    }
    return {};
  }
  if (value.is_string()) {
    out.push_back({key, value.get<std::string>()});
  } else if (value.is_boolean()) {
    out.push_back({key, value.get<bool>() ? "on" : "off"});
  } else if (value.is_number()) {
    out.push_back({key, value.dump()});
  } else {
    return failf(ErrorKind::Invalid, "JSON member '{}' is null", key);
  }
  return {};
}

Result<KeyValues> split_json(std::string_view text) {
  // The depth is checked before parsing: the parser's own stack is on the heap, but its destructor recurses.
  const Json parsed = Json::parse(
      text, [](int depth, Json::parse_event_t, Json&) { return depth <= kMaxJsonDepth; }, false);
  if (parsed.is_discarded() || !parsed.is_object())
    return failf(ErrorKind::Invalid, "'{}' is not a JSON object", text);
  KeyValues out;
  TRY(flatten(parsed, "", 0, out));
  return out;
}

// Takes the text up to the next comma that is not doubled, and that comma.
std::string take_value(std::string_view& rest) {
  std::string value;
  while (!rest.empty()) {
    if (rest[0] == ',') {
      const bool doubled = rest.size() > 1 && rest[1] == ',';
      rest.remove_prefix(doubled ? 2 : 1);
      if (!doubled) return value;
      value += ',';
      continue;
    }
    value += rest[0];
    rest.remove_prefix(1);
  }
  return value;
}

size_t edit_distance(std::string_view a, std::string_view b) {
  // Damerau-Levenshtein, restricted: insertions, deletions, replacements and swapped neighbours.
  std::vector<std::vector<size_t>> table(a.size() + 1, std::vector<size_t>(b.size() + 1));
  for (size_t i = 0; i <= a.size(); ++i) table[i][0] = i;
  for (size_t j = 0; j <= b.size(); ++j) table[0][j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t change = a[i - 1] == b[j - 1] ? 0 : 1;
      table[i][j] = std::min({table[i - 1][j] + 1, table[i][j - 1] + 1, table[i - 1][j - 1] + change});
      const bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (swapped) table[i][j] = std::min(table[i][j], table[i - 2][j - 2] + 1);
    }
  }
  return table[a.size()][b.size()];
}

}  // namespace

Result<KeyValues> split_options(std::string_view text, std::string_view implied_key) {
  if (text.starts_with('{')) return split_json(text);
  KeyValues out;
  bool first = true;
  while (!text.empty()) {
    const size_t stop = text.find_first_of("=,");
    const bool has_value = stop != std::string_view::npos && text[stop] == '=';
    if (has_value) {
      std::string key(text.substr(0, stop));
      if (key.empty()) return failf(ErrorKind::Invalid, "'{}' has no key before '='", text);
      text.remove_prefix(stop + 1);
      out.push_back({std::move(key), take_value(text)});
    } else {
      std::string word = take_value(text);
      if (first && !implied_key.empty()) {
        out.push_back({std::string(implied_key), std::move(word)});
      } else if (!word.empty()) {
        out.push_back({std::move(word), std::nullopt});
      }
    }
    first = false;
  }
  return out;
}

std::optional<std::string> take(KeyValues& list, std::string_view key) {
  std::optional<std::string> last;
  std::erase_if(list, [&](const KeyValue& entry) {
    if (entry.key != key) return false;
    last = entry.value.value_or("on");
    return true;
  });
  return last;
}

bool asks_for_help(std::string_view text) {
  return text == "help" || text == "?" || text.ends_with(",help") || text.ends_with(",?");
}

std::optional<std::string_view> nearest(std::string_view given,
                                        std::span<const std::string_view> candidates) {
  constexpr size_t kLongestWord = 64;  // the distance is quadratic and the word is the user's
  if (given.size() > kLongestWord) return std::nullopt;
  std::optional<std::string_view> best;
  size_t best_distance = std::max<size_t>(1, given.size() / 3) + 1;
  for (const std::string_view candidate : candidates) {
    const size_t distance = edit_distance(given, candidate);
    if (distance >= best_distance || distance >= candidate.size()) continue;
    best_distance = distance;
    best = candidate;
  }
  return best;
}

std::string did_you_mean(std::string_view given, std::span<const std::string_view> candidates) {
  const auto found = nearest(given, candidates);
  return found ? fmt::format(", did you mean '{}'?", *found) : std::string();
}

}  // namespace rhea::config
