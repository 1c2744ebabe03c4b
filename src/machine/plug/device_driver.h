// One row of the tables of drivers that -device knows: a family of devices has a table in its own file
// (NAME_drivers.cc), registry.cc joins them.
#pragma once

#include <span>
#include <string>

#include "base/result.h"
#include "machine/plug/device_request.h"
#include "machine/plug/device_site.h"

namespace rhea::machine {

struct DeviceDriver {
  const char* name;
  const char* bus;  // as in `-device help`: "PCI", "ISA", "IDE"; null: none
  const char*
      category;  // "Storage", "Network", "Input", "Display", "Sound", "Misc", "USB", "Controller/Bridge/Hub"
  const char* help;
  std::string (*options)();  // the text of `-device NAME,help`
  // Makes the device and plugs it in. Errors without the name of the driver, which the caller adds.
  Result<> (*add)(DeviceSite& site, const DeviceRequest& request);
  bool hotpluggable = true;  // as far as its bus is
};

std::span<const DeviceDriver> ahci_drivers();
std::span<const DeviceDriver> display_drivers();
std::span<const DeviceDriver> floppy_drivers();
std::span<const DeviceDriver> misc_drivers();
std::span<const DeviceDriver> bridge_drivers();
std::span<const DeviceDriver> net_drivers();
std::span<const DeviceDriver> storage_drivers();
std::span<const DeviceDriver> sound_drivers();
std::span<const DeviceDriver> usb_drivers();
std::span<const DeviceDriver> virtio_drivers();
std::span<const DeviceDriver> parallel_drivers();

}  // namespace rhea::machine
