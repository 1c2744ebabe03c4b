// What the machine is looked at and typed into: -display, -vga, -vnc.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "tools/system/options/table.h"

namespace rhea::system {

struct SystemOptions;

struct DisplayOptions {};

void add_display_options(Options& to, SystemOptions& options);

}  // namespace rhea::system
