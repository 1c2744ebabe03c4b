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
    return failf(ErrorKind::Unsupported, "-vga {}: this graphics card is not supported yet", text);
  if (text != "std" && text != "none") return failf(ErrorKind::Invalid, "unknown vga type: {}", text);
  to.vga = text;
  return {};
}

Result<> parse_display(std::string_view text, DisplayOptions& to) {
  if (config::asks_for_help(text)) print_and_exit("Available display backend types:\nnone\n");
  if (text != "none") return failf(ErrorKind::Unsupported, "-display {}: not supported", text);
  to.display = text;
  return {};
}

}  // namespace

void add_display_options(Options& to, SystemOptions& options) {
  DisplayOptions& display = options.display;
  to.push_back({"display", "TYPE", "where the screen is shown: none",
                [&display](std::string_view text) { return parse_display(text, display); }});
  to.push_back({"vga", "std|none", "the graphics card",
                [&display](std::string_view text) { return parse_vga(text, display); }});
  to.push_back(only_none("vnc", "VNC server"));
}

}  // namespace rhea::system
