// PCI Express ports and bridges of no particular vendor: a root port, and a bridge from PCI Express to a
// conventional bus.
//
// PCI Express Base 3.0, 7.8; ids as in QEMU's docs/pcie.txt. Missing: native hot plug (the boards have
// ACPI's), error reporting, upstream and downstream ports of switches. Caller holds the machine lock.
#pragma once

#include "bus/pci/pci_bridge.h"

namespace rhea::devices {

class PcieRootPort final : public bus::pci::PciBridge {
 public:
  struct Options {
    uint8_t port = 0;
    uint16_t slot = 0;
  };
  // wiring is that of the root bus.
  PcieRootPort(const bus::pci::PciBus::Wiring& wiring, const Options& options);
  std::string_view name() const override { return "pcie-root-port"; }
  void reset(bus::ResetKind kind) override;
  void secondary_changed() override;

 private:
  void show_presence();
};

class PciePciBridge final : public bus::pci::PciBridge {
 public:
  // wiring is that of the bus it is plugged into.
  explicit PciePciBridge(const bus::pci::PciBus::Wiring& wiring);
  std::string_view name() const override { return "pcie-pci-bridge"; }
};

}  // namespace rhea::devices
