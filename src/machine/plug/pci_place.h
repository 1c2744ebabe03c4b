// The properties that every PCI device has, and where they put it.
//
//     struct EduOptions : PciPlace { … };
//     config::Group<EduOptions> group{"edu", "", with_pci_place<EduOptions>({…})};
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "config/schema.h"
#include "machine/plug/device_site.h"

namespace rhea::machine {

struct PciPlace {
  std::optional<std::string> bus, addr;
  std::optional<bool> multifunction;
};

// A free place on a PCI bus of the board.
struct PciSlot {
  bus::pci::PciBus& bus;
  unsigned devfn;
  std::string bus_name;
};

// The value of addr= on bus=, or the first free slot behind the chipset's. Errors: Invalid, Busy, NoSpace.
Result<PciSlot> choose_slot(DeviceSite& site, const PciPlace& place);

// Plugs the function in.
template <class T>
Result<T*> plug_pci(DeviceSite& site, const DeviceRequest& request, const PciPlace& place,
                    std::unique_ptr<T> function) {
  PciSlot slot = TRY(choose_slot(site, place));
  if (place.multifunction.value_or(false)) {
    function->define8(bus::pci::kHeaderType, function->config8(bus::pci::kHeaderType) | 0x80);
  }
  T& made = site.tree().own(request, std::move(function), slot.bus_name);
  slot.bus.attach(made, slot.devfn);
  return &made;
}

template <class T>
std::vector<config::Property> with_pci_place(std::vector<config::Property> own) {
  own.push_back(
      config::text("bus", static_cast<std::optional<std::string> T::*>(&T::bus), "name of a PCI bus"));
  own.push_back(config::text("addr", static_cast<std::optional<std::string> T::*>(&T::addr),
                             "slot[.function] on the PCI bus, in hexadecimal"));
  own.push_back(config::boolean("multifunction", static_cast<std::optional<bool> T::*>(&T::multifunction),
                                "the slot has more functions"));
  return own;
}

}  // namespace rhea::machine
