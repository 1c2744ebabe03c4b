// The name of a PCI function in OpenFirmware's device tree, as firmware's boot order spells it.
//
// IEEE 1275 PCI Bus Binding 2.1, 2.2.1; QEMU's fw_cfg file "bootorder". Threading: pure functions.
#pragma once

#include <string>

#include "bus/pci/pci_function.h"

namespace rhea::bus::pci {

// "/pci@i0cf8/pci-bridge@2/ethernet@3": up from the function to the host bridge. It is attached.
std::string firmware_path(const PciFunction& function);

}  // namespace rhea::bus::pci
