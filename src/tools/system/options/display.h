// What the machine is looked at and typed into: -display, -vga, -full-screen; -vnc and -k are in vnc.h.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "tools/system/options/table.h"
#include "tools/system/options/viewers.h"
#include "tools/system/options/vnc.h"

namespace rhea::system {

struct SystemOptions;

struct DisplayOptions {
  std::optional<std::string> vga;  // -vga; nothing: the default
  ViewerOptions viewer;
  VncOptions vnc;
};

void add_display_options(Options& to, SystemOptions& options);

}  // namespace rhea::system
