// Guest RAM as a virtio device reaches it: rings and buffers lie in RAM and nowhere else, so that no ring can
// make a device call itself or another one in the middle of a request. Caller holds the machine lock.
#pragma once

#include <sys/uio.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/endian.h"
#include "memory/address_space.h"

namespace rhea::devices::virtio {

class GuestRam {
 public:
  // Null: nothing can be reached (the function may not be bus master).
  void attach(memory::AddressSpace* space);
  bool attached() const { return space_ != nullptr; }

  // False: part of the range is no RAM, or wraps; nothing or a part was copied.
  bool read(uint64_t address, std::span<uint8_t> to);
  bool write(uint64_t address, std::span<const uint8_t> from);

  // Appends where the range lies in host memory, for whoever writes it and says so by written(); the places
  // are good as long as the machine lock is held. False as above.
  bool find_writable(uint64_t address, uint64_t bytes, std::vector<iovec>& places);
  void written(uint64_t address, uint64_t bytes);

  template <std::unsigned_integral T>
  std::optional<T> load(uint64_t address) {
    uint8_t bytes[sizeof(T)];
    if (!read(address, bytes)) return std::nullopt;
    return load_le<T>(bytes);
  }
  template <std::unsigned_integral T>
  bool store(uint64_t address, T value) {
    uint8_t bytes[sizeof(T)];
    store_le<T>(bytes, value);
    return write(address, bytes);
  }

 private:
  const memory::FlatRange* find(uint64_t address);

  memory::AddressSpace* space_ = nullptr;
  std::shared_ptr<const memory::FlatView> view_;
  const memory::FlatRange* last_ = nullptr;  // in view_
};

}  // namespace rhea::devices::virtio
