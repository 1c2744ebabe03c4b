#include "tools/system/options/display.h"

#include <algorithm>

#include "base/failf.h"
#include "tools/system/options.h"

namespace rhea::system {

namespace {

constexpr std::string_view kLaterCards[] = {"cirrus", "vmware", "qxl", "virtio", "xenfb", "tcx", "cg3"};

Result<> parse_vga(std::string_view text, DisplayOptions& to) {
  if (config::asks_for_help(text))
    print_and_exit("none                 no graphic card\nstd                  standard VGA (default)\n");
  if (std::ranges::find(kLaterCards, text) != std::end(kLaterCards))
    return fail(ErrorKind::Unsupported, "this graphics card is not supported yet");
  if (text != "std" && text != "none") return failf(ErrorKind::Invalid, "unknown vga type: {}", text);
  to.vga = text;
  return {};
}

}  // namespace

void add_display_options(Options& to, SystemOptions& options) {
  DisplayOptions& display = options.display;
  const auto parse_vnc = [&display](std::string_view text) { return add_vnc(display.vnc, text); };
  to.push_back({"display", "none|gtk|sdl|curses|vnc=...", "where the screen is shown",
                [&display, parse_vnc](std::string_view text) {
                  return parse_display(text, parse_vnc, display.viewer);
                }});
  to.push_back(flag("full-screen", "the window fills the screen", display.viewer.full_screen));
  to.push_back({"vga", "std|none", "the graphics card",
                [&display](std::string_view text) { return parse_vga(text, display); }});
  add_vnc_options(to, display.vnc);
}

}  // namespace rhea::system
