// What the families of options (this folder) build their rows with.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "config/command_line.h"
#include "config/schema.h"

namespace rhea::system {

using Option = config::CommandOption;
using Options = std::vector<Option>;

[[noreturn]] void print_and_exit(const std::string& text);

// An option whose argument is a group's.
template <class T>
Option grouped(std::string name, std::string argument, std::string help, const config::Group<T>& group,
               std::function<Result<>(std::string_view)> handle) {
  return {std::move(name),
          std::move(argument),
          std::move(help),
          [&group, handle = std::move(handle)](std::string_view text) -> Result<> {
            if (config::asks_for_help(text)) print_and_exit(group.help());
            return handle(text);
          },
          {},
          &group.schema()};
}

Option flag(std::string name, std::string help, bool& to);
Option word(std::string name, std::string argument, std::string help, std::string& to);
// Options of whose values only "none" can be honoured so far.
Option only_none(std::string name, std::string what);

}  // namespace rhea::system
