// The viewer of -display: a window, or the terminal.
#pragma once

#include <memory>
#include <string>

#include "display/layout.h"
#include "display/screens.h"
#include "display/terminal/terminal_viewer.h"
#include "display/window/window_host.h"
#include "machine/vm.h"
#include "tools/system/options.h"

namespace rhea::system {

// Whether the command line asks for a window, or gets one by default.
bool will_have_window(const SystemOptions& options);
// Whether -display, or the default in its place, is to be opened: -vnc and -nographic take the default's
// place.
bool wants_viewer(const SystemOptions& options);

// All with the machine lock held.
class Viewers {
 public:
  Viewers(machine::Vm& vm, display::Screens& screens, display::InputHub& input)
      : vm_(vm), screens_(screens), input_(input) {}

  // Once the screens are there. Nothing was asked for and there is a display server: a window of what modules
  // there are. Errors name the option. Returns whether somebody can look.
  Result<bool> open(const ViewerOptions& options, const std::string& guest_name, const std::string& keymap);

  void set_running(bool running);

 private:
  Result<> open_terminal(const std::string& keymap);
  Result<> open_window(const std::string& toolkit, const display::WindowOptions& options,
                       const std::string& guest_name);
  void act(display::WindowAction action);

  machine::Vm& vm_;
  display::Screens& screens_;
  display::InputHub& input_;
  display::Layout layout_;
  std::unique_ptr<display::TerminalViewer> terminal_;
  std::unique_ptr<display::Window> window_;
};

}  // namespace rhea::system
