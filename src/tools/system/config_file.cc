#include "tools/system/config_file.h"

#include <algorithm>

#include "base/failf.h"
#include "config/key_values.h"
#include "machine/firmware/firmware_files.h"

namespace rhea::system {

namespace {

constexpr uint64_t kLargestFile = uint64_t{1} << 20;
constexpr std::string_view kSpaces = " \t\r";

// Groups whose names are not those of their options.
constexpr std::pair<std::string_view, std::string_view> kGroups[] = {
    {"boot-opts", "boot"}, {"memory", "m"}, {"smp-opts", "smp"}, {"acpi", "acpitable"}};

std::string_view trim(std::string_view text) {
  const size_t first = text.find_first_not_of(kSpaces);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kSpaces) - first + 1);
}

// A value's commas are doubled in an option's argument.
std::string escape(std::string_view value) {
  std::string out;
  for (char c : value) out.append(c == ',' ? 2 : 1, c);
  return out;
}

// "\"text\"" without its quotes. Errors: Invalid.
Result<std::string_view> unquote(std::string_view word) {
  if (word.size() < 2 || word.front() != '"' || word.back() != '"')
    return fail(ErrorKind::Invalid, "expected a text in double quotes");
  return word.substr(1, word.size() - 2);
}

class Reader {
 public:
  Result<> line(std::string_view text) {
    text = trim(text);
    if (text.empty() || text.front() == '#') return {};
    return text.front() == '[' ? group(text) : value(text);
  }
  std::vector<std::string> take() {
    finish();
    return std::move(out_);
  }

 private:
  Result<> group(std::string_view text) {
    if (text.back() != ']') return fail(ErrorKind::Invalid, "']' is missing");
    text = trim(text.substr(1, text.size() - 2));
    finish();
    const size_t space = text.find_first_of(kSpaces);
    std::string_view name = text.substr(0, space);
    if (name.empty()) return fail(ErrorKind::Invalid, "the group has no name");
    for (const auto& [from, to] : kGroups) {
      if (from == name) name = to;
    }
    option_ = "-" + std::string(name);
    open_ = true;
    if (space != std::string_view::npos) add("id", TRY(unquote(trim(text.substr(space)))));
    return {};
  }
  Result<> value(std::string_view text) {
    const size_t equals = text.find('=');
    if (equals == std::string_view::npos || !open_)
      return fail(ErrorKind::Invalid, open_ ? "expected key = \"value\"" : "no group defined");
    const std::string_view key = trim(text.substr(0, equals));
    if (key.empty()) return fail(ErrorKind::Invalid, "expected key = \"value\"");
    add(key, TRY(unquote(trim(text.substr(equals + 1)))));
    return {};
  }
  void add(std::string_view key, std::string_view word) {
    if (!argument_.empty()) argument_ += ",";
    argument_ += std::string(key) + "=" + escape(word);
  }
  void finish() {
    if (open_) {
      out_.push_back(option_);
      out_.push_back(argument_);
    }
    open_ = false;
    argument_.clear();
  }

  std::vector<std::string> out_;
  std::string option_, argument_;
  bool open_ = false;
};

std::string_view option_of(std::string_view word) {
  if (!word.starts_with('-')) return {};
  return word.substr(word.starts_with("--") ? 2 : 1);
}

// GROUP.ID.KEY=VALUE: the last earlier option of that id gets one more key.
Result<> set_value(std::vector<std::string>& arguments, std::string_view text) {
  const size_t first = text.find('.');
  const size_t second = first == std::string_view::npos ? first : text.find('.', first + 1);
  const size_t equals = second == std::string_view::npos ? second : text.find('=', second + 1);
  if (equals == std::string_view::npos)
    return failf(ErrorKind::Invalid, "-set {}: expected GROUP.ID.KEY=VALUE", text);
  const std::string_view group = text.substr(0, first), id = text.substr(first + 1, second - first - 1);
  for (size_t i = arguments.size(); i-- > 1;) {
    if (option_of(arguments[i - 1]) != group) continue;
    auto values = config::split_options(arguments[i], "driver");
    if (!values || config::take(*values, "id") != std::string(id)) continue;
    arguments[i] += "," + std::string(text.substr(second + 1, equals - second - 1)) + "=" +
                    escape(text.substr(equals + 1));
    return {};
  }
  return failf(ErrorKind::NotFound, "-set {}: there is no {} \"{}\" defined", text, group, id);
}

}  // namespace

Result<std::vector<std::string>> parse_config_file(std::string_view text, std::string_view name) {
  Reader reader;
  for (size_t number = 1; !text.empty(); ++number) {
    const size_t end = text.find('\n');
    TRY_IN(reader.line(text.substr(0, end)), fmt::format("{}:{}", name, number));
    text = end == std::string_view::npos ? "" : text.substr(end + 1);
  }
  return reader.take();
}

Result<std::vector<std::string>> expand_arguments(std::span<const char* const> arguments) {
  std::vector<std::string> out;
  for (size_t i = 0; i < arguments.size(); ++i) {
    const std::string_view option = option_of(arguments[i]);
    if ((option != "readconfig" && option != "set") || i + 1 == arguments.size()) {
      out.emplace_back(arguments[i]);
      continue;
    }
    const std::string argument = arguments[++i];
    if (option == "set") {
      TRY(set_value(out, argument));
      continue;
    }
    const std::vector<uint8_t> data = TRY_IN(machine::read_whole_file(argument, kLargestFile), "-readconfig");
    const std::string text(data.begin(), data.end());
    for (std::string& word : TRY_IN(parse_config_file(text, argument), "-readconfig"))
      out.push_back(std::move(word));
  }
  return out;
}

}  // namespace rhea::system
