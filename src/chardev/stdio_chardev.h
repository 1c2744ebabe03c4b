// The process's standard input and output, in raw mode when they are a terminal. termios(3).
//
// With escapes, Ctrl-A is a prefix: x ends the machine, b sends a break, h shows the list, Ctrl-A sends
// itself.
#pragma once

#include <functional>

#include "chardev/fd_chardev.h"

namespace rhea::chardev {

// Puts the terminal back as it was; callable at any time, from a signal handler too.
void restore_terminal();

class StdioChardev final : public FdChardev {
 public:
  struct Options {
    bool escapes = false;        // Ctrl-A prefix; Ctrl-C goes to the guest instead of ending the process
    std::function<void()> quit;  // Ctrl-A x
  };
  static Result<std::unique_ptr<StdioChardev>> create(async::EventLoop& loop, Options options);
  ~StdioChardev() override;

 protected:
  void input(std::span<const uint8_t> bytes) override;
  void hung_up(Side side) override;

 private:
  StdioChardev(async::EventLoop& loop, Options options) : FdChardev(loop), options_(std::move(options)) {}
  void escaped(uint8_t byte);

  Options options_;
  bool after_prefix_ = false;
};

}  // namespace rhea::chardev
