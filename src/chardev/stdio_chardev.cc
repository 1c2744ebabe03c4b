#include "chardev/stdio_chardev.h"

#include <termios.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>

namespace rhea::chardev {

namespace {

termios saved_terminal;
std::atomic<bool> terminal_is_raw{false};

void make_raw(bool keep_signals) {
  if (::tcgetattr(STDIN_FILENO, &saved_terminal) != 0) return;  // not a terminal
  termios raw = saved_terminal;
  raw.c_iflag &= ~static_cast<tcflag_t>(IGNBRK | BRKINT | PARMRK | ISTRIP | INLCR | IGNCR | ICRNL | IXON);
  raw.c_oflag |= OPOST;
  raw.c_lflag &= ~static_cast<tcflag_t>(ECHO | ECHONL | ICANON | IEXTEN);
  if (!keep_signals) raw.c_lflag &= ~static_cast<tcflag_t>(ISIG);
  raw.c_cc[VMIN] = 1;
  raw.c_cc[VTIME] = 0;
  terminal_is_raw = true;
  static const int registered = std::atexit(restore_terminal);
  static_cast<void>(registered);
  ::tcsetattr(STDIN_FILENO, TCSANOW, &raw);
}

}  // namespace

void restore_terminal() {
  if (terminal_is_raw.exchange(false)) ::tcsetattr(STDIN_FILENO, TCSANOW, &saved_terminal);
}

Result<std::unique_ptr<StdioChardev>> StdioChardev::create(async::EventLoop& loop, bool signals) {
  std::unique_ptr<StdioChardev> chardev(new StdioChardev(loop));
  TRY(chardev->open(STDIN_FILENO, STDOUT_FILENO));
  make_raw(signals);
  return chardev;
}

StdioChardev::~StdioChardev() {
  drain(1000);
  restore_terminal();
}

// The end of the input (a file, /dev/null) leaves the output open.
void StdioChardev::hung_up(Side side) {
  if (side == Side::Input) {
    close_input();
  } else {
    close();
  }
}

}  // namespace rhea::chardev
