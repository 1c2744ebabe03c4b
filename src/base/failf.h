// failf(kind, "format {}", values…): an error whose text is formatted. Apart from result.h because the
// formatting header costs compile time and uses floating point, which parts of the CPU layer must not see.
#pragma once

#include <fmt/core.h>

#include "base/result.h"

namespace rhea {

template <class... Args>
std::unexpected<Error> failf(ErrorKind kind, fmt::format_string<Args...> format, Args&&... args) {
  return fail(kind, fmt::format(format, std::forward<Args>(args)...));
}

// The host's word for errno as text, for messages that are not a Result.
std::string errno_text(int error_number);

}  // namespace rhea
