// `-display curses`: the guest's text screen on the terminal the emulator was started from, the terminal's
// keys to the guest. Of a graphics mode it says so.
//
// The terminal is opened anew without blocking; what it does not take at once waits, and what has become
// stale meanwhile is never sent. Missing: the mouse, consoles other than the screen. Caller holds the machine
// lock.
#pragma once

#include <termios.h>

#include <memory>
#include <string>

#include "async/event_loop.h"
#include "display/key_sender.h"
#include "display/screen.h"
#include "display/terminal/terminal_keys.h"
#include "display/terminal/terminal_page.h"

namespace rhea::display {

class TerminalViewer final : public Viewer {
 public:
  struct Wiring {
    async::EventLoop& loop;
    Screen& screen;
    InputHub& input;
    const Layout& layout;
  };
  // Takes the controlling terminal over. Errors: NotFound (there is none), Unsupported (it cannot move its
  // cursor).
  static Result<std::unique_ptr<TerminalViewer>> open(const Wiring& wiring);
  // Gives the terminal back as it was.
  ~TerminalViewer() override;

  void surface_changed(const Surface& surface) override;
  void changed(const Rect& area) override;

 private:
  TerminalViewer(const Wiring& wiring, int fd, bool unicode);
  Result<> take_over();
  void ready(uint32_t events);
  void read_keys();
  void draw_soon();
  void draw();
  void flush();

  Wiring wiring_;
  int fd_;
  termios before_{};
  TerminalKeys keys_;
  TerminalPage page_;
  KeySender sender_;
  std::unique_ptr<async::EventLoop::Watch> watch_;
  std::unique_ptr<async::Timer> timer_;
  std::string pending_;
  bool stale_ = false;  // to be drawn when the terminal takes more
};

}  // namespace rhea::display
