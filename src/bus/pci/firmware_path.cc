#include "bus/pci/firmware_path.h"

#include <fmt/format.h>

#include "bus/pci/pci_bridge.h"
#include "bus/pci/pci_bus.h"

namespace rhea::bus::pci {

namespace {

// By class and sub-class; others have the name made of their ids.
const char* class_name(unsigned code) {
  switch (code) {
    case 0x0100: return "scsi";
    case 0x0101: return "ide";
    case 0x0102: return "fdc";
    case 0x0103: return "ipi";
    case 0x0104: return "raid";
    case 0x0200: return "ethernet";
    case 0x0201: return "token-ring";
    case 0x0202: return "fddi";
    case 0x0203: return "atm";
    case 0x0300:
    case 0x0301: return "display";
    case 0x0400: return "video";
    case 0x0401: return "sound";
    case 0x0403: return "sound";
    case 0x0500: return "memory";
    case 0x0501: return "flash";
    case 0x0600: return "host";
    case 0x0601: return "isa";
    case 0x0602: return "eisa";
    case 0x0603: return "mca";
    case 0x0604: return "pci-bridge";
    case 0x0605: return "pcmcia";
    case 0x0700: return "serial";
    case 0x0701: return "parallel";
    case 0x0800: return "interrupt-controller";
    case 0x0801: return "dma-controller";
    case 0x0802: return "timer";
    case 0x0803: return "rtc";
    case 0x0900: return "keyboard";
    case 0x0901: return "pen";
    case 0x0902: return "mouse";
    case 0x0c00: return "firewire";
    case 0x0c01: return "access-bus";
    case 0x0c02: return "ssa";
    case 0x0c03: return "usb";
    case 0x0c04: return "fibre-channel";
    case 0x0c05: return "smb";
    default: return nullptr;
  }
}

}  // namespace

std::string firmware_path(const PciFunction& function) {
  const PciBridge* bridge = function.bus()->bridge();
  std::string path = bridge != nullptr ? firmware_path(*bridge) : "/pci@i0cf8";
  const char* name = class_name(function.config16(kClassCode + 1));
  path += name != nullptr
              ? fmt::format("/{}", name)
              : fmt::format("/pci{:x},{:x}", function.config16(kVendorId), function.config16(kDeviceId));
  path += fmt::format("@{:x}", function.devfn() >> 3);
  if ((function.devfn() & 7) != 0) path += fmt::format(",{:x}", function.devfn() & 7);
  return path;
}

}  // namespace rhea::bus::pci
