// What the options of the commands mean, for `COMMAND --help` and the manual page. Which options a command
// has stands in its own table, which also parses them.
#pragma once

#include <span>
#include <string>

#include "tools/img/arguments.h"

namespace rhea::img {

// The command that runs, for its help.
void set_current_command(const std::string& name);
// Of the command that runs.
std::string command_help(std::span<const Option> options);

}  // namespace rhea::img
