#include "config/command_line.h"

#include <algorithm>

#include "base/failf.h"
#include "config/key_values.h"

namespace rhea::config {

CommandLine::CommandLine(std::vector<CommandOption> options,
                         std::function<Result<>(std::string_view)> positional,
                         std::span<const std::string_view> refused)
    : options_(std::move(options)), positional_(std::move(positional)), refused_(refused) {}

const CommandOption* CommandLine::find(std::string_view name) const {
  const auto found = std::ranges::find(options_, name, &CommandOption::name);
  return found == options_.end() ? nullptr : &*found;
}

std::unexpected<Error> CommandLine::unknown(std::string_view word) const {
  if (std::ranges::find(refused_, word.substr(word.starts_with("--") ? 2 : 1)) != refused_.end())
    return failf(ErrorKind::Unsupported, "{}: this option is not supported", word);
  std::vector<std::string> dashed;
  for (const CommandOption& option : options_) dashed.push_back("-" + option.name);
  const std::vector<std::string_view> names(dashed.begin(), dashed.end());
  return failf(ErrorKind::Invalid, "{}: unknown option{}", word, did_you_mean(word, names));
}

Result<> CommandLine::parse(std::span<const char* const> arguments) const {
  for (size_t i = 0; i < arguments.size(); ++i) {
    const std::string_view word = arguments[i];
    if (!word.starts_with('-') || word == "-") {
      if (!positional_) return failf(ErrorKind::Invalid, "'{}' is not an option", word);
      TRY(positional_(word));
      continue;
    }
    const CommandOption* option = find(word.substr(word.starts_with("--") ? 2 : 1));
    if (option == nullptr) return unknown(word);
    std::string_view argument;
    std::string context(word);
    if (!option->argument.empty()) {
      if (i + 1 == arguments.size())
        return failf(ErrorKind::Invalid, "{}: requires an argument: {}", word, option->argument);
      argument = arguments[++i];
      context += " " + std::string(argument);
    }
    TRY_IN(option->handle(argument), context);
  }
  return {};
}

std::string CommandLine::help() const {
  constexpr size_t kColumn = 16;
  std::string out, section;
  for (const CommandOption& option : options_) {
    if (option.section != section) {
      section = option.section;
      out += fmt::format("{}{}:\n", out.empty() ? "" : "\n", section);
    }
    const std::string left =
        "-" + (option.argument.empty() ? option.name : option.name + " " + option.argument);
    if (left.size() + 2 <= kColumn) {
      out += fmt::format("{:<{}}{}\n", left, kColumn, option.help);
    } else {
      out += fmt::format("{}\n{:<{}}{}\n", left, "", kColumn, option.help);
    }
  }
  return out;
}

}  // namespace rhea::config
