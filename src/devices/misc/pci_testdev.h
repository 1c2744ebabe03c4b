// A PCI device for testing low-level I/O: the guest picks a test, writes as its header says, and reads how
// many writes arrived. BAR 0 is memory, BAR 1 ports; BAR 2, if asked for, is memory that answers nothing.
//
// QEMU's docs/specs/pci-testdev.txt. Three tests a BAR: any write, the same again for hosts that would
// short-cut it, and writes that must carry the right data. Caller holds the machine lock.
#pragma once

#include <cstdint>

#include "bus/pci/pci_function.h"
#include "memory/io_handler.h"

namespace rhea::devices {

class PciTestDevice final : public bus::pci::PciFunction {
 public:
  // membar: size of BAR 2, a power of two of at least 4 KiB, or 0 for none.
  explicit PciTestDevice(uint64_t membar = 0);

  std::string_view name() const override { return "pci-testdev"; }
  void reset(bus::ResetKind kind) override;
  void state(bus::StateVisitor& v) override;

 private:
  struct Window final : memory::IoHandler {
    explicit Window(bool is_ports) : ports(is_ports) {}
    uint64_t io_read(uint64_t offset, unsigned size) override;
    void io_write(uint64_t offset, unsigned size, uint64_t value) override;
    uint8_t header_byte(uint64_t offset) const;
    bool ports;
    uint8_t test = 0xff;
    uint32_t count = 0;
  };
  struct Nothing final : memory::IoHandler {
    uint64_t io_read(uint64_t, unsigned) override { return ~uint64_t{0}; }
    void io_write(uint64_t, unsigned, uint64_t) override {}
  };

  Window memory_{false};
  Window ports_{true};
  Nothing nothing_;
};

}  // namespace rhea::devices
