#include "block/protocols/file_lock.h"

#include <fcntl.h>

#include <array>
#include <cerrno>
#include <string_view>

#include "base/failf.h"

namespace rhea::block {
namespace {

constexpr off_t kUsedBase = 100;
constexpr off_t kUnsharedBase = 200;
constexpr unsigned kPermissions = 4;
constexpr std::array<std::string_view, kPermissions> kNames = {"consistent read", "write", "write unchanged",
                                                               "resize"};

struct flock byte_lock(short type, off_t at) {
  struct flock lock {};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  lock.l_start = at;
  lock.l_len = 1;
  return lock;
}

// False with errno set if the byte cannot be locked.
bool set_lock(int fd, short type, off_t at) {
  struct flock lock = byte_lock(type, at);
  return ::fcntl(fd, F_OFD_SETLK, &lock) == 0;
}

// Whether somebody else has a lock on the byte.
bool locked_by_other(int fd, off_t at) {
  struct flock lock = byte_lock(F_WRLCK, at);
  return ::fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

std::unexpected<Error> busy(std::string_view how, unsigned permission, const std::string& filename) {
  return failf(ErrorKind::Busy, "Failed to get {}\"{}\" lock\nIs another process using the image [{}]?", how,
               kNames[permission], filename);
}

}  // namespace

Result<> lock_image(int fd, const std::string& filename, LockSet want) {
  for (unsigned n = 0; n < kPermissions; ++n) {
    const bool uses = (want.used >> n & 1) != 0;
    const bool unshares = (want.unshared >> n & 1) != 0;
    for (const auto& [wanted, base] : {std::pair(uses, kUsedBase), std::pair(unshares, kUnsharedBase)}) {
      const short type = wanted ? F_RDLCK : F_UNLCK;
      if (set_lock(fd, type, base + static_cast<off_t>(n))) continue;
      if (errno != EAGAIN && errno != EACCES) return {};  // no locks here (old NFS, odd file systems)
      return busy(base == kUsedBase ? "" : "shared ", n, filename);
    }
  }
  for (unsigned n = 0; n < kPermissions; ++n) {
    const auto at = static_cast<off_t>(n);
    if ((want.used >> n & 1) != 0 && locked_by_other(fd, kUnsharedBase + at)) return busy("", n, filename);
    if ((want.unshared >> n & 1) != 0 && locked_by_other(fd, kUsedBase + at))
      return busy("shared ", n, filename);
  }
  return {};
}

}  // namespace rhea::block
