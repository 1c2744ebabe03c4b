#include "config/schema.h"

#include <algorithm>
#include <charconv>
#include <limits>

#include "base/failf.h"
#include "base/sizes.h"

namespace rhea::config {
namespace {

template <class T>
Result<T> parse_number(std::string_view text, T min, T max) {
  const auto refuse = [&] {
    return failf(ErrorKind::Invalid, "accepts an integer {}, not '{}'", detail::range_text(min, max), text);
  };
  const bool hexadecimal = text.starts_with("0x") || text.starts_with("0X");
  const std::string_view digits = hexadecimal ? text.substr(2) : text;
  if (hexadecimal && digits.starts_with('-')) return refuse();
  T value{};
  const char* end = digits.data() + digits.size();
  const auto [stop, error] = std::from_chars(digits.data(), end, value, hexadecimal ? 16 : 10);
  if (error != std::errc{} || stop != end || value < min || value > max) return refuse();
  return value;
}

template <class T>
std::string range(T min, T max) {
  if (min == std::numeric_limits<T>::min() && max == std::numeric_limits<T>::max())
    return "that fits 64 bits";
  if (max == std::numeric_limits<T>::max()) return fmt::format("of at least {}", min);
  return fmt::format("from {} to {}", min, max);
}

}  // namespace

namespace detail {

std::string range_text(uint64_t min, uint64_t max) {
  return range(min, max);
}
std::string range_text(int64_t min, int64_t max) {
  return range(min, max);
}

std::string size_text(uint64_t bytes) {
  // The largest unit that divides it, in the form that the user may type back.
  static constexpr std::pair<uint64_t, char> kUnits[] = {{kTiB, 'T'}, {kGiB, 'G'}, {kMiB, 'M'}, {kKiB, 'k'}};
  for (const auto& [unit, letter] : kUnits) {
    if (bytes >= unit && bytes % unit == 0) return fmt::format("{}{}", bytes / unit, letter);
  }
  return std::to_string(bytes);
}

std::string size_range_text(uint64_t min, uint64_t max) {
  constexpr std::string_view kForm = "a size such as 512M or 1.5G";
  if (min == 0 && max == UINT64_MAX) return std::string(kForm);
  if (max == UINT64_MAX) return fmt::format("{} of at least {}", kForm, size_text(min));
  return fmt::format("{} from {} to {}", kForm, size_text(min), size_text(max));
}

std::string join(const std::vector<std::string_view>& words, std::string_view separator) {
  std::string out;
  for (const std::string_view word : words) {
    if (!out.empty()) out += separator;
    out += word;
  }
  return out;
}

std::unexpected<Error> not_among(std::string_view text, const std::vector<std::string_view>& names) {
  return failf(ErrorKind::Invalid, "accepts one of {}, not '{}'{}", join(names, ", "), text,
               did_you_mean(text, names));
}

}  // namespace detail

Result<bool> parse_bool(std::string_view text) {
  for (const std::string_view word : {"on", "yes", "true", "y"}) {
    if (text == word) return true;
  }
  for (const std::string_view word : {"off", "no", "false", "n"}) {
    if (text == word) return false;
  }
  return failf(ErrorKind::Invalid, "accepts on or off, not '{}'", text);
}

std::string show_bool(bool value) {
  return value ? "on" : "off";
}

Result<uint64_t> parse_unsigned(std::string_view text, uint64_t min, uint64_t max) {
  return parse_number<uint64_t>(text, min, max);
}

Result<int64_t> parse_signed(std::string_view text, int64_t min, int64_t max) {
  return parse_number<int64_t>(text, min, max);
}

Result<uint64_t> parse_size_between(std::string_view text, uint64_t unit, uint64_t min, uint64_t max) {
  const auto value = parse_size(text, unit);
  if (!value || *value < min || *value > max) {
    return failf(ErrorKind::Invalid, "accepts {}, not '{}'", detail::size_range_text(min, max), text);
  }
  return *value;
}

Schema::Schema(std::string name, std::string implied_key, std::vector<Property> properties)
    : name_(std::move(name)), implied_key_(std::move(implied_key)), properties_(std::move(properties)) {}

const Property* Schema::find(std::string_view key) const {
  const auto found = std::ranges::find(properties_, key, &Property::name);
  return found == properties_.end() ? nullptr : &*found;
}

std::unexpected<Error> Schema::unknown_key(std::string_view key) const {
  std::vector<std::string_view> names;
  for (const Property& property : properties_) names.push_back(property.name);
  if (names.empty()) return failf(ErrorKind::Invalid, "unknown key '{}', {} has none", key, name_);
  const std::string hint = did_you_mean(key, names);
  return failf(ErrorKind::Invalid, "unknown key '{}'{} known keys are {}", key, hint.empty() ? "," : hint,
               detail::join(names, ", "));
}

Result<> Schema::apply_word(std::string_view word, void* object) const {
  const Property* property = find(word);
  bool value = true;
  if (property == nullptr && word.starts_with("no")) {
    property = find(word.substr(2));
    value = false;
    if (property != nullptr && !property->is_flag) property = nullptr;
  }
  if (property == nullptr) return unknown_key(word);
  if (!property->is_flag) {
    return failf(ErrorKind::Invalid, "'{}' needs a value: {}={}", word, word, property->accepted);
  }
  return property->set(object, show_bool(value));
}

Result<> Schema::apply(const KeyValues& values, void* object) const {
  for (const auto& [key, value] : values) {
    if (!value) {
      TRY(apply_word(key, object));
      continue;
    }
    const Property* property = find(key);
    if (property == nullptr) return unknown_key(key);
    const auto done = property->set(object, *value);
    if (!done) return failf(done.error().kind(), "'{}' {}", key, done.error().message());
  }
  return {};
}

std::string Schema::help(const void* defaults) const {
  std::string out = name_ + " options:\n";
  size_t width = 0;
  for (const Property& property : properties_)
    width = std::max(width, property.name.size() + property.type.size() + 3);
  width = std::min<size_t>(width, 30);
  for (const Property& property : properties_) {
    const std::string left = fmt::format("{}=<{}>", property.name, property.type);
    const std::string value = property.show(defaults);
    out += fmt::format("  {:<{}} - {}", left, width, property.help);
    if (!value.empty()) out += fmt::format(" (default: {})", value);
    out += '\n';
  }
  return out;
}

}  // namespace rhea::config
