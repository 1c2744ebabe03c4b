#include "tools/system/setup/viewers.h"

#include <cstdlib>

#include "base/failf.h"

namespace rhea::system {

namespace {

bool has_display_server() {
  for (const char* variable : {"DISPLAY", "WAYLAND_DISPLAY"}) {
    const char* value = std::getenv(variable);
    if (value != nullptr && *value != 0) return true;
  }
  return false;
}

}  // namespace

bool wants_viewer(const SystemOptions& options) {
  const DisplayOptions& display = options.display;
  return display.viewer.kind || (!options.nographic && !display.viewer.vnc && display.vnc.servers.empty());
}

bool will_have_window(const SystemOptions& options) {
  const std::optional<ViewerKind>& kind = options.display.viewer.kind;
  if (kind) return *kind == ViewerKind::Gtk || *kind == ViewerKind::Sdl;
  const bool module = display::Window::available("gtk") || display::Window::available("sdl");
  return wants_viewer(options) && has_display_server() && module;
}

Result<bool> Viewers::open(const ViewerOptions& options, const std::string& guest_name,
                           const std::string& keymap) {
  display::WindowOptions window = options.window;
  window.full_screen |= options.full_screen;
  if (!options.kind) {
    for (const char* toolkit : {"gtk", "sdl"}) {
      if (!has_display_server() || !display::Window::available(toolkit)) continue;
      if (open_window(toolkit, window, guest_name)) return true;
    }
    return false;
  }
  switch (*options.kind) {
    case ViewerKind::None: break;
    case ViewerKind::Curses: TRY_IN(open_terminal(keymap), "-display curses"); break;
    case ViewerKind::Gtk: TRY_IN(open_window("gtk", window, guest_name), "-display gtk"); break;
    case ViewerKind::Sdl: TRY_IN(open_window("sdl", window, guest_name), "-display sdl"); break;
  }
  return true;
}

Result<> Viewers::open_terminal(const std::string& keymap) {
  layout_ = TRY_IN(display::Layout::load(keymap), "-k " + keymap);
  terminal_ = TRY(display::TerminalViewer::open(
      {.loop = vm_.loop(), .screen = screens_.primary(), .input = input_, .layout = layout_}));
  return {};
}

Result<> Viewers::open_window(const std::string& toolkit, const display::WindowOptions& options,
                              const std::string& guest_name) {
  if (!has_display_server())
    return fail(ErrorKind::Unsupported,
                "there is no display server (DISPLAY is not set); -display none or -vnc :0 need none");
  window_ = TRY(display::Window::open({.loop = vm_.loop(),
                                       .screens = screens_,
                                       .input = input_,
                                       .act = [this](display::WindowAction action) { act(action); },
                                       .title = guest_name.empty() ? "QEMU" : "QEMU (" + guest_name + ")"},
                                      toolkit, options));
  return {};
}

void Viewers::act(display::WindowAction action) {
  using display::WindowAction;
  switch (action) {
    case WindowAction::Pause: vm_.request_pause(); break;
    case WindowAction::Continue: vm_.request_resume(); break;
    case WindowAction::Reset: vm_.request_reset(machine::Cause::HostUi); break;
    case WindowAction::PowerDown: vm_.request_power_button(); break;
    case WindowAction::Quit: vm_.request_exit(0, machine::Cause::HostUi); break;
  }
}

void Viewers::set_running(bool running) {
  if (window_ != nullptr) window_->set_running(running);
}

}  // namespace rhea::system
