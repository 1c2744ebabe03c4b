// Where the firmware has put what lies above 4 GiB.
#pragma once

#include "bus/pci/pci_bus.h"
#include "machine/acpi/tables.h"

namespace rhea::machine {

// Sets the 64-bit PCI window: from the lowest to the highest BAR there, with room behind; without any, behind
// RAM.
void place_window64(acpi::Config& config, const bus::pci::PciBus& root);

}  // namespace rhea::machine
