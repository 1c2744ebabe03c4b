#include "chardev/file_chardev.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

namespace rhea::chardev {

Result<std::unique_ptr<FileChardev>> FileChardev::create(async::EventLoop& loop, const std::string& path) {
  int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (fd < 0) return fail_errno(errno, path);
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
