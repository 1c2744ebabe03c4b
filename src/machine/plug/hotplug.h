// Devices that come and go while the machine runs: device_add, device_del, and slots that the guest has
// emptied. What sits on a PCI bus leaves when the guest lets it (bus/pci/slot_hotplug.h); other devices,
// which guests expect to lose at any time, at once.
//
// Machine lock held.
#pragma once

#include <cstdint>
#include <string>

#include "bus/pci/pci_bus.h"
#include "machine/plug/device_request.h"
#include "machine/plug/device_site.h"

namespace rhea::machine {

// Errors are QEMU's.
Result<> hot_add(DeviceSite& site, const DeviceRequest& request);
// `id` may be a path. Errors are QEMU's. The tree's listener hears when the device has gone.
Result<> hot_remove(DeviceSite& site, const std::string& id);

// Slots of the bus, a bit each, that are empty or hold only what may leave.
uint32_t removable_slots(const DeviceTree& tree, const bus::pci::PciBus& bus);
// The guest has let go of the slot: what may leave does. No vCPU may be on its way to a device.
void eject_slot(DeviceSite& site, const bus::pci::PciBus& bus, unsigned slot);

}  // namespace rhea::machine
