// What the machine is looked at: -display, -vga, -full-screen.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "config/key_values.h"
#include "tools/system/options/table.h"

namespace rhea::system {

struct SystemOptions;

struct DisplayOptions {
  std::optional<std::string> vga;      // -vga; nothing: the default
  std::optional<std::string> display;  // -display; nothing: the default
};

void add_display_options(Options& to, SystemOptions& options);

}  // namespace rhea::system
