// -readconfig and -set: arguments that stand for, or change, other arguments.
//
// QEMU's configuration files: groups "[drive \"disk\"]" of lines "key = \"value\"", each group an option.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace rhea::system {

// The options that a configuration file stands for, as "-option", "argument", …. `name` is for messages.
// Errors: Invalid with name and line.
Result<std::vector<std::string>> parse_config_file(std::string_view text, std::string_view name);

// Arguments with the files of -readconfig in their places and the values of -set in the options that they
// name. Errors: Invalid, NotFound, Io.
Result<std::vector<std::string>> expand_arguments(std::span<const char* const> arguments);

}  // namespace rhea::system
