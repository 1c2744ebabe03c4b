// Ports or memory whose place a register of the chipset holds.
//
// Caller holds the machine lock. The address space outlives the window.
#pragma once

#include <cstdint>
#include <optional>

#include "memory/address_space.h"

namespace rhea::devices {

class IoWindow {
 public:
  // `priority`: as AddressSpace::map_io.
  explicit IoWindow(memory::IoHandler& handler, int priority = 0) : handler_(handler), priority_(priority) {}
  ~IoWindow() { unmap(); }
  IoWindow(const IoWindow&) = delete;
  IoWindow& operator=(const IoWindow&) = delete;

  // `at`, `size` in bytes; at == 0: nowhere. Always the same space.
  void place(memory::AddressSpace& space, uint64_t at, uint64_t size) {
    if (at == at_ && size == size_) return;
    unmap();
    space_ = &space;
    at_ = at;
    size_ = size;
    if (at == 0) return;
    if (auto mapped = space.map_io(Gpa{at}, size, handler_, 0, priority_)) map_ = *mapped;
  }

 private:
  void unmap() {
    if (map_) space_->unmap(*map_);
    map_.reset();
  }

  memory::IoHandler& handler_;
  int priority_;
  memory::AddressSpace* space_ = nullptr;
  std::optional<memory::MapId> map_;
  uint64_t at_ = 0, size_ = 0;
};

}  // namespace rhea::devices
