#include "block/create_options.h"

#include <algorithm>
#include <charconv>

#include "base/failf.h"
#include "base/sizes.h"
#include "config/key_values.h"

namespace rhea::block {
namespace {

Result<std::string> normalise(const CreateOption& option, std::string_view value) {
  switch (option.type) {
    case CreateOption::Type::Text: return std::string(value);
    case CreateOption::Type::Bool:
      if (value == "on" || value == "yes" || value == "true" || value == "y") return "on";
      if (value == "off" || value == "no" || value == "false" || value == "n") return "off";
      return failf(ErrorKind::Invalid, "Parameter '{}' expects 'on' or 'off'", option.name);
    case CreateOption::Type::Number: {
      uint64_t number = 0;
      const bool hexadecimal = value.starts_with("0x");
      const std::string_view digits = hexadecimal ? value.substr(2) : value;
      const auto [stop, error] =
          std::from_chars(digits.data(), digits.data() + digits.size(), number, hexadecimal ? 16 : 10);
      if (error != std::errc{} || stop != digits.data() + digits.size())
        return failf(ErrorKind::Invalid, "Parameter '{}' expects a number", option.name);
      return std::to_string(number);
    }
    case CreateOption::Type::Size: {
      const auto bytes = parse_size(value);
      if (!bytes)
        return failf(ErrorKind::Invalid,
                     "Parameter '{}' expects a non-negative number below 2^64\n"
                     "Optional suffix k, M, G, T, P or E means kilo-, mega-, giga-, tera-, peta-\n"
                     "and exabytes, respectively.",
                     option.name);
      return std::to_string(*bytes);
    }
  }
  return std::string(value);
}

const char* type_word(CreateOption::Type type) {
  switch (type) {
    case CreateOption::Type::Text: return "str";
    case CreateOption::Type::Bool: return "bool (on/off)";
    case CreateOption::Type::Size: return "size";
    case CreateOption::Type::Number: return "num";
  }
  return "";
}

// As QEMU quotes: a comma in a value is doubled, an odd value stands as it is.
std::string escaped(std::string_view value) {
  std::string out;
  for (const char c : value) out += c == ',' ? ",," : std::string(1, c);
  return out;
}

}  // namespace

Result<> CreateValues::parse(std::string_view text, std::span<const CreateOption> table) {
  const config::KeyValues given = TRY(config::split_options(text, ""));
  for (const config::KeyValue& one : given) {
    std::string_view key = one.key;
    std::string value = one.value.value_or("on");
    const auto known = [&](std::string_view name) {
      return std::ranges::any_of(table, [&](const CreateOption& option) { return option.name == name; });
    };
    if (!one.value && !known(key) && key.starts_with("no") && known(key.substr(2))) {
      key.remove_prefix(2);
      value = "off";
    }
    TRY(set(key, value, table));
  }
  return {};
}

Result<> CreateValues::set(std::string_view name, std::string_view value,
                           std::span<const CreateOption> table) {
  const auto found =
      std::ranges::find_if(table, [&](const CreateOption& option) { return option.name == name; });
  if (found == table.end()) return failf(ErrorKind::Invalid, "Invalid parameter '{}'", name);
  values_[std::string(name)] = TRY(normalise(*found, value));
  return {};
}

std::string CreateValues::text(const std::string& name, std::string_view otherwise) const {
  const auto found = values_.find(name);
  return found == values_.end() ? std::string(otherwise) : found->second;
}

uint64_t CreateValues::number(const std::string& name, uint64_t otherwise) const {
  const auto found = values_.find(name);
  if (found == values_.end()) return otherwise;
  return parse_size(found->second).value_or(otherwise);
}

bool CreateValues::flag(const std::string& name, bool otherwise) const {
  const auto found = values_.find(name);
  return found == values_.end() ? otherwise : found->second == "on";
}

std::string CreateValues::line(std::span<const CreateOption> table) const {
  std::string out;
  for (const CreateOption& option : table) {
    const auto found = values_.find(option.name);
    if (found == values_.end() && option.preset == nullptr) continue;
    if (!out.empty()) out += ' ';
    out += fmt::format("{}={}", option.name, found == values_.end() ? option.preset : escaped(found->second));
  }
  return out;
}

std::string create_options_help(std::vector<CreateOption> table) {
  std::ranges::sort(table, {}, [](const CreateOption& option) { return std::string_view(option.name); });
  std::string out;
  for (const CreateOption& option : table) {
    const std::string head = fmt::format("  {}=<{}>", option.name, type_word(option.type));
    out += fmt::format("{:<24} - {}\n", head, option.help);
  }
  return out;
}

}  // namespace rhea::block
