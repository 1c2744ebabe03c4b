#include "tools/system/options/table.h"

#include <cstdio>
#include <cstdlib>

#include "base/failf.h"

namespace rhea::system {

void print_and_exit(const std::string& text) {
  std::fputs(text.c_str(), stdout);
  std::fflush(stdout);
  std::exit(0);
}

Option flag(std::string name, std::string help, bool& to) {
  return {std::move(name), "", std::move(help), [&to](std::string_view) -> Result<> {
            to = true;
            return {};
          }};
}

Option word(std::string name, std::string argument, std::string help, std::string& to) {
  return {std::move(name), std::move(argument), std::move(help), [&to](std::string_view text) -> Result<> {
            to = text;
            return {};
          }};
}

Option only_none(std::string name, std::string what) {
  return {std::move(name), "none", what + ": none", [what](std::string_view text) -> Result<> {
            if (text == "none") return {};
            return failf(ErrorKind::Unsupported, "{} '{}' is not supported; accepted: none", what, text);
          }};
}

}  // namespace rhea::system
