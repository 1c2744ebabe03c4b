// Option groups: one table of properties says each key's name, type, range and help, and is bound to the
// members of a plain struct. From it come the parser (both spellings of key_values.h), the help text and
// introspection.
//
//     struct SmpOptions { uint64_t cpus = 1; std::optional<uint64_t> sockets; };
//     const Group<SmpOptions> kSmp{"smp", "cpus", {
//         integer("cpus", &SmpOptions::cpus, 1, 64, "vCPUs at start"),
//         integer("sockets", &SmpOptions::sockets, 1, 64, "CPU sockets"),
//     }};
//     SmpOptions smp = TRY(kSmp.parse("4,sockets=2"));
//
// A member is the value's type or std::optional of it (to tell whether it was given). Defaults are the
// struct's own. Messages name the key, what was given and what is accepted; the caller adds the option as
// context.
#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/result.h"
#include "config/key_values.h"

namespace rhea::config {

// One key of a group, without its struct's type.
struct Property {
  std::string name;
  std::string type;      // as in help: "int", "size", "bool", "text", "a|b|c"
  std::string accepted;  // in messages: "an integer from 1 to 64"
  std::string help;
  bool is_flag = false;  // may be written without "=on"
  std::function<Result<>(void* object, std::string_view text)> set;
  std::function<std::string(const void* object)> show;  // the value as text; empty if there is none
};

// Parsers of single values; errors are one line that says what is accepted.
Result<bool> parse_bool(std::string_view text);
Result<uint64_t> parse_unsigned(std::string_view text, uint64_t min, uint64_t max);
Result<int64_t> parse_signed(std::string_view text, int64_t min, int64_t max);
Result<uint64_t> parse_size_between(std::string_view text, uint64_t unit, uint64_t min, uint64_t max);
std::string show_bool(bool value);

// The table itself.
class Schema {
 public:
  Schema(std::string name, std::string implied_key, std::vector<Property> properties);

  const std::string& name() const { return name_; }
  const std::string& implied_key() const { return implied_key_; }
  const std::vector<Property>& properties() const { return properties_; }

  // Sets the members of `object`; on an error some of them may be set.
  Result<> apply(const KeyValues& values, void* object) const;
  // The lines for "help"; `defaults` is an object as it was made.
  std::string help(const void* defaults) const;

 private:
  const Property* find(std::string_view key) const;
  Result<> apply_word(std::string_view word, void* object) const;
  std::unexpected<Error> unknown_key(std::string_view key) const;

  std::string name_;
  std::string implied_key_;
  std::vector<Property> properties_;
};

template <class T>
class Group {
 public:
  Group(std::string name, std::string implied_key, std::vector<Property> properties)
      : schema_(std::move(name), std::move(implied_key), std::move(properties)) {}

  Result<T> parse(std::string_view text) const {
    T object{};
    TRY(parse_into(text, object));
    return object;
  }
  // For options that may be given several times and add up, such as -machine.
  Result<> parse_into(std::string_view text, T& object) const {
    return schema_.apply(TRY(split_options(text, schema_.implied_key())), &object);
  }
  Result<> apply(const KeyValues& values, T& object) const { return schema_.apply(values, &object); }
  std::string help() const {
    const T defaults{};
    return schema_.help(&defaults);
  }
  const Schema& schema() const { return schema_; }

 private:
  Schema schema_;
};

namespace detail {

template <class V>
struct Unwrap {
  using type = V;
};
template <class V>
struct Unwrap<std::optional<V>> {
  using type = V;
};

// Binds a parser and a printer of plain values to a member.
template <class T, class V, class Parse, class Show>
void bind(Property& property, V T::*member, Parse parse, Show show) {
  property.set = [member, parse](void* object, std::string_view text) -> Result<> {
    static_cast<T*>(object)->*member = static_cast<typename Unwrap<V>::type>(TRY(parse(text)));
    return {};
  };
  property.show = [member, show](const void* object) -> std::string {
    const V& value = static_cast<const T*>(object)->*member;
    if constexpr (std::is_same_v<V, typename Unwrap<V>::type>) {
      return show(value);
    } else {
      return value ? show(*value) : std::string();
    }
  };
}

std::string range_text(uint64_t min, uint64_t max);
std::string range_text(int64_t min, int64_t max);
std::string size_text(uint64_t bytes);
std::string size_range_text(uint64_t min, uint64_t max);
std::string join(const std::vector<std::string_view>& words, std::string_view separator);
std::unexpected<Error> not_among(std::string_view text, const std::vector<std::string_view>& names);

}  // namespace detail

// A whole number in decimal or 0x… hexadecimal within [min, max]; a signed member may have a signed range.
template <class T, class V, class Bound>
Property integer(std::string name, V T::*member, Bound min, std::type_identity_t<Bound> max,
                 std::string help) {
  using Plain = typename detail::Unwrap<V>::type;
  using Wide = std::conditional_t<std::is_signed_v<Plain>, int64_t, uint64_t>;
  const Wide low = static_cast<Wide>(min);
  const Wide high = static_cast<Wide>(max);
  Property out{
      std::move(name), "int", "an integer " + detail::range_text(low, high), std::move(help), false, {}, {}};
  const auto parse = [low, high](std::string_view text) {
    if constexpr (std::is_signed_v<Plain>) {
      return parse_signed(text, low, high);
    } else {
      return parse_unsigned(text, low, high);
    }
  };
  detail::bind(out, member, parse, [](Plain value) { return std::to_string(value); });
  return out;
}

template <class T, class V>
Property boolean(std::string name, V T::*member, std::string help) {
  Property out{std::move(name), "bool", "on or off", std::move(help), true, {}, {}};
  detail::bind(
      out, member, [](std::string_view text) { return parse_bool(text); }, show_bool);
  return out;
}

// A number of bytes with suffix; without one it counts `unit`s.
template <class T, class V>
Property size(std::string name, V T::*member, uint64_t unit, uint64_t min, uint64_t max, std::string help) {
  Property out{std::move(name), "size", detail::size_range_text(min, max), std::move(help), false, {}, {}};
  const auto parse = [=](std::string_view text) { return parse_size_between(text, unit, min, max); };
  detail::bind(out, member, parse, detail::size_text);
  return out;
}

template <class T, class V>
Property text(std::string name, V T::*member, std::string help) {
  Property out{std::move(name), "text", "text", std::move(help), false, {}, {}};
  detail::bind(
      out, member, [](std::string_view value) { return Result<std::string>(value); },
      [](const std::string& value) { return value; });
  return out;
}

// A key that may be given many times; each value is kept.
template <class T>
Property text_list(std::string name, std::vector<std::string> T::*member, std::string help) {
  Property out{std::move(name), "text", "text", std::move(help) + " (may be repeated)", false, {}, {}};
  out.set = [member](void* object, std::string_view value) -> Result<> {
    (static_cast<T*>(object)->*member).emplace_back(value);
    return {};
  };
  out.show = [](const void*) { return std::string(); };
  return out;
}

template <class V>
using Choices = std::vector<std::pair<std::string_view, V>>;

// One of several words. Two words may mean the same value; the first is the one that is shown.
template <class T, class V>
Property choice(std::string name, V T::*member, Choices<typename detail::Unwrap<V>::type> choices,
                std::string help) {
  using Plain = typename detail::Unwrap<V>::type;
  std::vector<std::string_view> names;
  for (const auto& entry : choices) names.push_back(entry.first);
  Property out{std::move(name),
               detail::join(names, "|"),
               "one of " + detail::join(names, ", "),
               std::move(help),
               false,
               {},
               {}};
  const auto parse = [choices, names](std::string_view word) -> Result<Plain> {
    for (const auto& [known, value] : choices) {
      if (known == word) return value;
    }
    return detail::not_among(word, names);
  };
  const auto show = [choices](const Plain& value) {
    for (const auto& [known, candidate] : choices) {
      if (candidate == value) return std::string(known);
    }
    return std::string();
  };
  detail::bind(out, member, parse, show);
  return out;
}

}  // namespace rhea::config
