// -display: which viewer shows the screen.
#pragma once

#include <optional>
#include <string>

#include "display/window/window.h"
#include "tools/system/options/table.h"

namespace rhea::system {

enum class ViewerKind : uint8_t { None, Curses, Gtk, Sdl };

struct ViewerOptions {
  std::optional<ViewerKind> kind;  // nothing: -display was not given
  bool vnc = false;                // -display vnc=…, which says as much as -vnc
  bool full_screen = false;        // -full-screen
  display::WindowOptions window;   // of kind
};

// parse_vnc takes the argument of -vnc.
Result<> parse_display(std::string_view text, const std::function<Result<>(std::string_view)>& parse_vnc,
                       ViewerOptions& to);

}  // namespace rhea::system
