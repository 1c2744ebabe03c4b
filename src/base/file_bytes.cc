// See file_bytes.h.
#include "base/file_bytes.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/log.h"

namespace rhea {

Result<std::shared_ptr<const FileBytes>> FileBytes::open(const std::string& path) {
  struct stat st {};
  if (::stat(path.c_str(), &st) != 0) return fail_errno(errno, path);
  if (!S_ISREG(st.st_mode)) return std::shared_ptr<const FileBytes>();  // a FIFO may be opened only once
  int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return fail_errno(errno, path);
  return std::shared_ptr<const FileBytes>(new FileBytes(path, fd, static_cast<uint64_t>(st.st_size)));
}

FileBytes::~FileBytes() {
  ::close(fd_);
}

void FileBytes::read(uint64_t offset, std::span<uint8_t> to) const {
  while (!to.empty()) {
    ssize_t got = ::pread(fd_, to.data(), to.size(), static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) {
      log_warn("{}: {} bytes at {} cannot be read any more", path_, to.size(), offset);
      std::fill(to.begin(), to.end(), uint8_t{0});
      return;
    }
    offset += static_cast<uint64_t>(got);
    to = to.subspan(static_cast<size_t>(got));
  }
}

}  // namespace rhea
