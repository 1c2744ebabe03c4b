// CHECK(expr): an invariant of ours. A failure is Rhea's bug, never the guest's or the user's doing: it
// prints the expression and the place and aborts. Usable in code that may touch general registers only.
#pragma once

namespace rhea {
[[noreturn]] void check_failed(const char* expression, const char* file, int line);
}

#define CHECK(expr)                                    \
  do {                                                 \
    if (!(expr)) [[unlikely]]                          \
      ::rhea::check_failed(#expr, __FILE__, __LINE__); \
  } while (false)
