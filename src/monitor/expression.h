// Expressions of the monitor: whole numbers (decimal, 0x…, 0…), 'c', $register, + - * / % & | ^ ~ and
// parentheses, in QEMU's order of precedence (& | ^ bind as * does not: see expression.cc).
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string_view>

#include "base/result.h"

namespace rhea::monitor {

// The value of a register by its name without '$'; nothing: there is no such register.
using Registers = std::function<std::optional<uint64_t>(std::string_view name)>;

// Reads one expression from the front of `text`, blanks behind it too. Errors: Invalid, in QEMU's words.
Result<int64_t> take_expression(std::string_view& text, const Registers& registers);

}  // namespace rhea::monitor
