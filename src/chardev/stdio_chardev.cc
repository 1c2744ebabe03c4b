#include "chardev/stdio_chardev.h"

#include <termios.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <string_view>

namespace rhea::chardev {

namespace {

constexpr uint8_t kPrefix = 1;  // Ctrl-A
constexpr std::string_view kHelp =
    "\r\nC-a h    print this help\r\nC-a x    exit emulator\r\nC-a b    send break (magic sysrq)\r\n"
    "C-a C-a  sends C-a\r\n";

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

Result<std::unique_ptr<StdioChardev>> StdioChardev::create(async::EventLoop& loop, Options options) {
  bool keep_signals = !options.escapes;
  std::unique_ptr<StdioChardev> chardev(new StdioChardev(loop, std::move(options)));
  TRY(chardev->open(STDIN_FILENO, STDOUT_FILENO));
  make_raw(keep_signals);
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

void StdioChardev::escaped(uint8_t byte) {
  switch (byte) {
    case 'x':
      if (options_.quit) options_.quit();
      return;
    case 'b':
      if (frontend_ != nullptr) frontend_->receive_break();
      return;
    case 'h':
    case '?': {
      // SAFETY: text is bytes.
      const auto* text = reinterpret_cast<const uint8_t*>(kHelp.data());
      write({text, kHelp.size()});
      return;
    }
    case kPrefix: queue_input({&byte, 1}); return;
    default: return;
  }
}

void StdioChardev::input(std::span<const uint8_t> bytes) {
  if (!options_.escapes) return queue_input(bytes);
  for (uint8_t byte : bytes) {
    if (after_prefix_) {
      after_prefix_ = false;
      escaped(byte);
    } else if (byte == kPrefix) {
      after_prefix_ = true;
    } else {
      queue_input({&byte, 1});
    }
  }
}

}  // namespace rhea::chardev
