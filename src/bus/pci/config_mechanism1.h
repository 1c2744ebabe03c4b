// PCI configuration mechanism #1: CONFIG_ADDRESS at 0xCF8 and CONFIG_DATA at 0xCFC. Handler offsets 0..7 are
// those ports. Byte accesses to offset 1 are the reset control register of PIIX-like south bridges, which
// shares them.
//
// PCI Local Bus Specification 3.0, 3.2.2.3.2. Caller holds the machine lock.
#pragma once

#include "bus/device.h"
#include "bus/pci/pci_bus.h"
#include "memory/io_handler.h"

namespace rhea::bus::pci {

class ConfigMechanism1 final : public Device, public memory::IoHandler {
 public:
  struct Wiring {
    PciBus& root;
    memory::IoHandler* reset_control = nullptr;  // its offset 0 is port 0xCF9
  };
  explicit ConfigMechanism1(const Wiring& wiring) : wiring_(wiring) {}

  std::string_view name() const override { return "pci-config"; }
  void reset(ResetKind) override { address_ = 0; }
  void state(StateVisitor& v) override;
  uint64_t io_read(uint64_t offset, unsigned size) override;
  void io_write(uint64_t offset, unsigned size, uint64_t value) override;

 private:
  bool selected(uint64_t offset, unsigned size) const;

  Wiring wiring_;
  uint32_t address_ = 0;
};

}  // namespace rhea::bus::pci
