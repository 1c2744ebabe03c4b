// The command line of one rhea-img command: options before, between and behind the names, "-fraw", "-pq",
// "--output=json", "--output json" and long names cut short as far as they stay unique. Messages are those of
// qemu-img.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace rhea::img {

struct Option {
  char letter = 0;        // 0: has only a long name
  const char* name = "";  // empty: has only a letter
  bool takes_value = false;
  std::function<Result<>(const std::string& value)> handle;  // none: prints the command's help and exits
};

// Gives each option to its handler and returns what is left, the names. A word such as "-1" is an option;
// behind
// "--" everything is a name.
Result<std::vector<std::string>> parse_arguments(std::span<const std::string> words,
                                                 std::span<const Option> options);

// An error of usage: its message is followed by the line that names --help.
std::unexpected<Error> usage(std::string text);

}  // namespace rhea::img
