// Image locking as QEMU 7.2 does it, so that its processes and ours respect each other: open-file-description
// byte locks (fcntl(2), F_OFD_SETLK), always shared ones. Byte 100 + n is locked by who uses permission n,
// byte 200 + n by who does not want others to use it; whoever opens an image looks whether the opposite byte
// of each is locked by somebody else.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"

namespace rhea::block {

struct LockSet {
  static constexpr uint32_t kConsistentRead = 1u << 0;
  static constexpr uint32_t kWrite = 1u << 1;
  static constexpr uint32_t kWriteUnchanged = 1u << 2;
  static constexpr uint32_t kResize = 1u << 3;

  uint32_t used = 0;      // permissions that this opening uses
  uint32_t unshared = 0;  // permissions that nobody else may use
};

// Replaces the locks that `fd` has. Errors (Busy) are QEMU's lines. Where the file system has no locks:
// succeeds.
Result<> lock_image(int fd, const std::string& filename, LockSet want);

}  // namespace rhea::block
