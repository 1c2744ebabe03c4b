// Between Rhea and a window toolkit (GTK, SDL), which is a module loaded at run time: the module knows
// nothing of Rhea but this header, and everything it calls is virtual, so it links to nothing of Rhea's.
//
// Threading: the toolkit has a thread of its own, in which it is made, runs and is destroyed. WindowHost may
// be called from there at any time, and never waits for the machine lock. wake() and stop() are called from
// any thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

namespace rhea::display {

struct WindowOptions {
  bool full_screen = false;
  bool zoom_to_fit = false;
  bool grab_on_hover = false;
  bool show_cursor = false;  // the host's pointer stays visible above the guest's
  bool show_menubar = true;  // gtk
  bool window_close = true;  // closing the window ends the machine
};

enum class WindowAction : uint8_t { Pause, Continue, Reset, PowerDown, Quit };

class WindowHost {
 public:
  virtual ~WindowHost() = default;

  // The screens there are: the graphics cards', then consoles.
  virtual unsigned screens() = 0;
  virtual std::string screen_name(unsigned screen) = 0;
  // The screen that is shown, which gets the keys.
  virtual void select(unsigned screen) = 0;

  struct Picture {
    const uint32_t* pixels;                        // 0xXXRRGGBB
    unsigned width, height;                        // rows follow each other
    unsigned x, y, changed_width, changed_height;  // since the last call; everything after a change of size
  };
  // Calls use() with the picture of the selected screen, which is valid meanwhile. Cheap when nothing has
  // changed.
  virtual void with_picture(const std::function<void(const Picture&)>& use) = 0;

  // Codes of Linux' input events, or usages of USB's keyboard page.
  virtual void key_evdev(unsigned code, bool down) = 0;
  virtual void key_usb(unsigned usage, bool down) = 0;
  virtual void release_keys() = 0;
  virtual bool wants_places() = 0;
  virtual void motion(int dx, int dy) = 0;
  virtual void place(int x, int y) = 0;                 // 0..0x7fff
  virtual void button(unsigned button, bool down) = 0;  // left, middle, right, side, extra
  virtual void wheel(int dz, int dw) = 0;

  virtual bool running() = 0;
  virtual std::string title() = 0;  // "QEMU (name)"
  virtual void act(WindowAction action) = 0;
  virtual void size_wanted(unsigned width, unsigned height) = 0;
  // Writes the selected screen as PNG; an error is logged.
  virtual void screenshot(const std::string& path) = 0;
};

class WindowToolkit {
 public:
  virtual ~WindowToolkit() = default;
  // Returns after stop().
  virtual void run() = 0;
  // Something to see has changed: the picture, whether the machine runs, the kind of pointer.
  virtual void wake() = 0;
  virtual void stop() = 0;
};

// What a module exports under this name. Null: `error` says why in a few words ("cannot open display ':0'").
using MakeWindow = WindowToolkit*(WindowHost& host, const WindowOptions& options, std::string& error);
inline constexpr const char* kMakeWindow = "rhea_make_window";

}  // namespace rhea::display
