// PCI Express enhanced configuration access: 4 KiB of memory for each function, 1 MiB for each bus.
//
// PCI Express Base 3.0, 7.2.2. Caller holds the machine lock.
#pragma once

#include "bus/pci/pci_bus.h"
#include "memory/io_handler.h"

namespace rhea::bus::pci {

class Ecam final : public memory::IoHandler {
 public:
  explicit Ecam(PciBus& root) : root_(root) {}
  uint64_t io_read(uint64_t offset, unsigned size) override {
    return root_.config_read(bus_of(offset), devfn_of_offset(offset), register_of(offset), size);
  }
  void io_write(uint64_t offset, unsigned size, uint64_t value) override {
    root_.config_write(bus_of(offset), devfn_of_offset(offset), register_of(offset), size,
                       static_cast<uint32_t>(value));
  }

 private:
  static unsigned bus_of(uint64_t offset) { return static_cast<unsigned>(offset >> 20) & 0xff; }
  static unsigned devfn_of_offset(uint64_t offset) { return static_cast<unsigned>(offset >> 12) & 0xff; }
  static unsigned register_of(uint64_t offset) { return static_cast<unsigned>(offset) & 0xfff; }

  PciBus& root_;
};

}  // namespace rhea::bus::pci
