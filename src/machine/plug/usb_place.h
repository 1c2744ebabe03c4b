// The properties that every USB device has, and where they put it; as pci_place.h.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bus/usb/usb_port.h"
#include "config/schema.h"
#include "machine/plug/device_site.h"

namespace rhea::machine {

struct UsbPlace {
  std::optional<std::string> bus, port;
};

// Errors: NotFound, Busy, NoSpace, Unsupported.
Result<bus::usb::UsbPort*> choose_usb_port(DeviceSite& site, const UsbPlace& place, unsigned speeds);

// Plugs the device in.
template <class T>
Result<T*> plug_usb(DeviceSite& site, const DeviceRequest& request, const UsbPlace& place,
                    std::unique_ptr<T> device) {
  bus::usb::UsbPort* port = TRY(choose_usb_port(site, place, device->speeds()));
  auto* bus = TRY(site.tree().find_bus<bus::usb::UsbBus>(place.bus));
  T& made = site.tree().own(request, std::move(device), site.tree().name_of(*bus));
  port->attach(made);
  return &made;
}

// A controller's bus: "ID.0", or "usb-bus.N" for controllers without an id.
void add_usb_bus(DeviceSite& site, const DeviceRequest& request, bus::usb::UsbBus& bus,
                 const bus::Device& owner);

template <class T>
std::vector<config::Property> with_usb_place(std::vector<config::Property> own) {
  own.push_back(
      config::text("bus", static_cast<std::optional<std::string> T::*>(&T::bus), "name of a USB bus"));
  own.push_back(config::text("port", static_cast<std::optional<std::string> T::*>(&T::port),
                             "port by its path, 1 or 1.2"));
  return own;
}

}  // namespace rhea::machine
