#include "chardev/file_chardev.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "base/failf.h"

namespace rhea::chardev {

Result<std::unique_ptr<FileChardev>> FileChardev::create(async::EventLoop& loop, const std::string& path,
                                                         bool append) {
  int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | (append ? O_APPEND : O_TRUNC) | O_CLOEXEC, 0666);
  if (fd < 0) return failf(ErrorKind::Io, "Could not open '{}': {}", path, errno_text(errno));
  std::unique_ptr<FileChardev> chardev(new FileChardev(loop, fd));
  TRY_IN(chardev->open(-1, fd), path);
  return chardev;
}

FileChardev::~FileChardev() {
  drain(1000);
  close();
  ::close(fd_);
}

}  // namespace rhea::chardev
