// Ports whose place a register of the chipset holds.
//
// Caller holds the machine lock.
#pragma once

#include <cstdint>
#include <optional>

#include "memory/address_space.h"

namespace rhea::devices {

class PortWindow {
 public:
  PortWindow(memory::IoHandler& handler, uint64_t size) : handler_(handler), size_(size) {}
  ~PortWindow() {
    if (map_) ports_->unmap(*map_);
  }
  PortWindow(const PortWindow&) = delete;
  PortWindow& operator=(const PortWindow&) = delete;

  // 0: nowhere. Always the same ports.
  void place(memory::AddressSpace& ports, uint16_t at) {
    if (at == at_) return;
    if (map_) ports.unmap(*map_);
    map_.reset();
    ports_ = &ports;
    at_ = at;
    if (at == 0) return;
    if (auto mapped = ports.map_io(Gpa{at}, size_, handler_)) map_ = *mapped;
  }

 private:
  memory::IoHandler& handler_;
  uint64_t size_;
  memory::AddressSpace* ports_ = nullptr;
  std::optional<memory::MapId> map_;
  uint16_t at_ = 0;
};

}  // namespace rhea::devices
