// What answers guest accesses to a region that is not memory. The handler sees offsets, never addresses:
// placement is the board's business (machine/).
#pragma once

#include <cstdint>
#include <cstring>
#include <span>

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

  // Accesses of `size` bytes one after the other at one place, as INS and OUTS make them: as many as `data`
  // holds, which is a multiple of `size`. A handler with a data register may do better than one by one.
  virtual void io_read_run(uint64_t offset, unsigned size, std::span<uint8_t> data) {
    for (; !data.empty(); data = data.subspan(size)) {
      const uint64_t value = io_read(offset, size);
      std::memcpy(data.data(), &value, size);
    }
  }
  virtual void io_write_run(uint64_t offset, unsigned size, std::span<const uint8_t> data) {
    for (; !data.empty(); data = data.subspan(size)) {
      uint64_t value = 0;
      std::memcpy(&value, data.data(), size);
      io_write(offset, size, value);
    }
  }
};

}  // namespace rhea::memory
