// A program's command line: one table of options, "-name" or "--name", with at most one argument each. Gives
// the parser, the text of -help, and messages of the form "-smp cpus=x: 'cpus' accepts …".
#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "config/schema.h"

namespace rhea::config {

struct CommandOption {
  std::string name;      // without dashes
  std::string argument;  // as in help, "[cpus=]n[,sockets=n]"; empty: takes none
  std::string help;
  std::function<Result<>(std::string_view argument)> handle;
  std::string section = {};        // of -help: a heading before the first of its options
  const Schema* schema = nullptr;  // of the argument, where it has one
};

class CommandLine {
 public:
  // A word that is no option goes to `positional`, or is an error without one. `refused` are names that users
  // know from another program and this one does not have; it must outlive this.
  explicit CommandLine(std::vector<CommandOption> options,
                       std::function<Result<>(std::string_view)> positional = nullptr,
                       std::span<const std::string_view> refused = {});

  // Calls the handlers in the order of the arguments (without argv[0]), up to the first error.
  Result<> parse(std::span<const char* const> arguments) const;
  std::string help() const;

 private:
  const CommandOption* find(std::string_view name) const;
  std::unexpected<Error> unknown(std::string_view word) const;

  std::vector<CommandOption> options_;
  std::function<Result<>(std::string_view)> positional_;
  std::span<const std::string_view> refused_;
};

}  // namespace rhea::config
