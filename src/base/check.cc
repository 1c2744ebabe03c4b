#include "base/check.h"

#include <cstdio>
#include <cstdlib>

namespace rhea {

void check_failed(const char* expression, const char* file, int line) {
  std::fprintf(stderr, "rhea: internal error: %s:%d: CHECK(%s) failed\n", file, line, expression);
  std::abort();
}

}  // namespace rhea
