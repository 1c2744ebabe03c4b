// The slots of a board that come and go while it runs: those of its root bus, if that is conventional, and of
// the buses behind the bridges and ports that are there when the machine is reset.
//
// Machine lock held.
#pragma once

#include <functional>
#include <vector>

#include "devices/bridge/acpi_pci_hotplug.h"
#include "machine/acpi/tables.h"
#include "machine/plug/device_site.h"

namespace rhea::machine {

class PciHotplug {
 public:
  PciHotplug(DeviceSite& site, bus::pci::PciBus& root, std::function<void()> raise_event);

  devices::AcpiPciHotplug& registers() { return registers_; }
  // Takes in buses that it does not know. The firmware makes the guest's tables anew after this.
  void adopt();
  void describe(acpi::Config& config) const;

 private:
  void eject(bus::pci::PciBus& bus, unsigned slot, bool at_once);

  DeviceSite& site_;
  bus::pci::PciBus& root_;
  devices::AcpiPciHotplug registers_;
  std::vector<bus::pci::PciBus*> buses_;  // by their registers' number; they stay for as long as the machine
};

}  // namespace rhea::machine
