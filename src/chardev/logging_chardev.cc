#include "chardev/logging_chardev.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "base/failf.h"

namespace rhea::chardev {

Result<std::unique_ptr<LoggingChardev>> LoggingChardev::create(std::unique_ptr<Chardev> base,
                                                               const std::string& path, bool append) {
  int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | (append ? O_APPEND : O_TRUNC) | O_CLOEXEC, 0666);
  if (fd < 0) return failf(ErrorKind::Io, "Unable to open logfile {}: {}", path, errno_text(errno));
  return std::unique_ptr<LoggingChardev>(new LoggingChardev(std::move(base), fd));
}

LoggingChardev::~LoggingChardev() {
  ::close(fd_);
}

size_t LoggingChardev::write(std::span<const uint8_t> bytes) {
  size_t taken = base_->write(bytes);
  for (size_t done = 0; done < taken;) {
    ssize_t n = ::write(fd_, bytes.data() + done, taken - done);
    if (n <= 0 && errno != EINTR) break;  // a full disk does not hold up the guest
    if (n > 0) done += static_cast<size_t>(n);
  }
  return taken;
}

}  // namespace rhea::chardev
