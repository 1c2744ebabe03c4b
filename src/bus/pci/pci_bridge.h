// A PCI-to-PCI bridge (type 1 header): bus numbers, the I/O, memory and prefetchable windows that decide what
// of the secondary side is reachable, and the rotation of interrupt pins.
//
// PCI-to-PCI Bridge Architecture Specification 1.2, chapters 3, 4 and 9. Missing: secondary discard timers,
// VGA and ISA modes of the bridge control register. Caller holds the machine lock.
#pragma once

#include "bus/pci/pci_bus.h"

namespace rhea::bus::pci {

class PciBridge : public PciFunction {
 public:
  // 1b36:0001, the generic bridge id. wiring is that of the bus the bridge will be attached to.
  explicit PciBridge(const PciBus::Wiring& wiring)
      : PciBridge({.vendor = 0x1b36, .device = 0x0001, .class_code = 0x060400, .header_type = 1},
                  conventional(wiring)) {}

  std::string_view name() const override { return "pci-bridge"; }
  void reset(ResetKind kind) override;
  void update_mappings() override;

  PciBus& secondary() { return secondary_; }
  const PciBus& secondary() const { return secondary_; }
  bool has_bus(unsigned number) const;
  // A function has come to the secondary bus or gone from it.
  virtual void secondary_changed() {}
  bool window_holds(BarKind kind, uint64_t first, uint64_t last) const;

 protected:
  // Another kind of bridge; wiring is that of the secondary bus.
  PciBridge(const Identity& identity, const PciBus::Wiring& wiring);
  static PciBus::Wiring conventional(PciBus::Wiring wiring) {
    wiring.express = false;
    return wiring;
  }
  void config_written(unsigned offset, unsigned size) override;

 private:
  PciBus secondary_;
};

}  // namespace rhea::bus::pci
