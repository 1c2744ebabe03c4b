#include "chardev/pty_chardev.h"

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

#include <cerrno>

#include "base/log.h"

namespace rhea::chardev {

namespace {
constexpr int64_t kLookEvery = 1'000'000'000;
}

Result<std::unique_ptr<PtyChardev>> PtyChardev::create(async::EventLoop& loop) {
  int fd = ::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return fail_errno(errno, "opening a pseudo terminal");
  std::unique_ptr<PtyChardev> chardev(new PtyChardev(loop, fd));
  char name[64];
  if (::grantpt(fd) != 0 || ::unlockpt(fd) != 0 || ::ptsname_r(fd, name, sizeof name) != 0) {
    return fail_errno(errno, "opening a pseudo terminal");
  }
  chardev->terminal_ = name;
  // Raw, so that the first program to open it sees the bytes as they are; opened once for the hang-up to
  // begin.
  int user = ::open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (user < 0) return fail_errno(errno, name);
  termios mode{};
  if (::tcgetattr(user, &mode) == 0) {
    ::cfmakeraw(&mode);
    ::tcsetattr(user, TCSANOW, &mode);
  }
  ::close(user);
  chardev->timer_ = loop.monotonic_clock().make_timer([at = chardev.get()] { at->look_for_user(); });
  chardev->look_for_user();
  return chardev;
}

PtyChardev::PtyChardev(async::EventLoop& loop, int fd) : FdChardev(loop), fd_(fd) {}

PtyChardev::~PtyChardev() {
  drain(100);
  timer_.reset();
  close();
  ::close(fd_);
}

void PtyChardev::hung_up(Side) {
  close();
  timer_->arm(loop_.monotonic_clock().now_ns() + kLookEvery);
}

void PtyChardev::look_for_user() {
  pollfd entry{fd_, POLLIN, 0};
  bool used = ::poll(&entry, 1, 0) >= 0 && (entry.revents & POLLHUP) == 0;
  if (used) {
    if (auto opened = open(fd_, fd_); !opened) log_warn("{}: {}", terminal_, opened.error().message());
  } else {
    timer_->arm(loop_.monotonic_clock().now_ns() + kLookEvery);
  }
}

}  // namespace rhea::chardev
