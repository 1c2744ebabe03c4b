// The process's standard input and output, in raw mode when they are a terminal. termios(3).
#pragma once

#include "chardev/fd_chardev.h"

namespace rhea::chardev {

// Puts the terminal back as it was; callable at any time, from a signal handler too.
void restore_terminal();

class StdioChardev final : public FdChardev {
 public:
  // signals: Ctrl-C ends the process and Ctrl-Z stops it; else they are input.
  static Result<std::unique_ptr<StdioChardev>> create(async::EventLoop& loop, bool signals);
  ~StdioChardev() override;
  std::string description() const override { return "stdio"; }

 protected:
  void hung_up(Side side) override;

 private:
  explicit StdioChardev(async::EventLoop& loop) : FdChardev(loop) {}
};

}  // namespace rhea::chardev
