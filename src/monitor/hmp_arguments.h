// The words behind a command of the human monitor, by the row of its command.
#pragma once

#include <string_view>

#include "monitor/command.h"
#include "monitor/expression.h"

namespace rhea::monitor {

// What /FMT says, kept for the next command that has none. QEMU's manual, "x/fmt addr".
struct Format {
  unsigned count = 1;
  char format = 'x';  // o, x, d, u, i, c
  unsigned size = 4;  // bytes
};

// `name` is what the user calls the command, for messages. Errors: Invalid, one line.
Result<Json> parse_hmp_arguments(const Command& command, std::string_view text, const Registers& registers);

// The value of a Kind::Format parameter: "4xb". Starts from `last` and replaces it.
Result<Format> parse_format(std::string_view text, Format& last);

}  // namespace rhea::monitor
