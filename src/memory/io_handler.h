// What answers guest accesses to a region that is not memory. The handler sees offsets, never addresses:
// placement is the board's business (machine/).
#pragma once

#include <cstdint>

namespace rhea::memory {

enum class Locking { Machine, None };  // None: the handler is safe without the machine lock

// Access widths that the handler itself takes; the address space splits larger and widens smaller accesses. A
// widened access is aligned to `min`; a widened write has zeros in the bytes that the guest did not write.
// Others keep the guest's alignment.
struct IoTraits {
  unsigned min = 1;  // bytes
  unsigned max = 4;
  Locking locking = Locking::Machine;
};

class IoHandler {
 public:
  virtual ~IoHandler() = default;
  // offset is below the region's size; size is 1, 2, 4 or 8 within the traits; must not fail.
  virtual uint64_t io_read(uint64_t offset, unsigned size) = 0;
  virtual void io_write(uint64_t offset, unsigned size, uint64_t value) = 0;
  virtual IoTraits io_traits() const { return {}; }
};

}  // namespace rhea::memory
