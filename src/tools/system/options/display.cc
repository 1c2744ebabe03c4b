#include "tools/system/options/display.h"

#include "tools/system/options.h"

namespace rhea::system {

void add_display_options(Options& to, SystemOptions& options) {
  static_cast<void>(options);
  to.push_back(only_none("display", "display"));
  to.push_back(only_none("vga", "graphics card"));
  to.push_back(only_none("vnc", "VNC server"));
}

}  // namespace rhea::system
