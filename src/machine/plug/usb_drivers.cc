// USB: host controllers and what is plugged into them.
#include <memory>

#include "config/schema.h"
#include "devices/usb/uhci.h"
#include "devices/usb/usb_keyboard.h"
#include "devices/usb/usb_pointer.h"
#include "devices/usb/xhci.h"
#include "machine/plug/device_driver.h"
#include "machine/plug/pci_place.h"
#include "machine/plug/usb_place.h"

namespace rhea::machine {

Result<bus::usb::UsbPort*> choose_usb_port(DeviceSite& site, const UsbPlace& place, unsigned speeds) {
  auto* bus = TRY(site.tree().find_bus<bus::usb::UsbBus>(place.bus));
  return bus->choose(speeds, place.port.value_or(""));
}

namespace {

struct ControllerOptions : PciPlace {};
struct XhciOptions : PciPlace {
  unsigned p2 = 4, p3 = 4, slots = devices::Xhci::kMostSlots, intrs = devices::Xhci::kInterrupterCount;
};
struct InputOptions : UsbPlace {};

const config::Group<ControllerOptions>& uhci_group() {
  static const config::Group<ControllerOptions> group{"piix3-usb-uhci", "",
                                                      with_pci_place<ControllerOptions>({})};
  return group;
}

const config::Group<XhciOptions>& xhci_group() {
  using X = XhciOptions;
  static const config::Group<X> group{
      "qemu-xhci", "",
      with_pci_place<X>(
          {config::integer("p2", &X::p2, 1u, devices::Xhci::kMostPorts, "USB 2 ports"),
           config::integer("p3", &X::p3, 1u, devices::Xhci::kMostPorts, "USB 3 ports"),
           config::integer("slots", &X::slots, 1u, devices::Xhci::kMostSlots, "device slots"),
           config::integer("intrs", &X::intrs, 1u, devices::Xhci::kInterrupterCount, "interrupters")})};
  return group;
}

const config::Group<InputOptions>& input_group() {
  static const config::Group<InputOptions> group{"usb input device", "", with_usb_place<InputOptions>({})};
  return group;
}

struct UhciModel {
  const char* name;
  uint16_t device;
  uint8_t pin;
};

Result<> add_uhci(DeviceSite& site, const DeviceRequest& request, const UhciModel& model) {
  ControllerOptions options;
  TRY(uhci_group().apply(request.values, options));
  auto* uhci =
      TRY(plug_pci(site, request, options,
                   std::make_unique<devices::Uhci>(devices::Uhci::Wiring{.clock = site.virtual_clock(),
                                                                         .device = model.device,
                                                                         .interrupt_pin = model.pin,
                                                                         .name = model.name})));
  add_usb_bus(site, request, uhci->usb_bus(), *uhci);
  return {};
}

Result<> add_piix3_uhci(DeviceSite& site, const DeviceRequest& request) {
  return add_uhci(site, request, {"piix3-usb-uhci", 0x7020, 4});
}

Result<> add_piix4_uhci(DeviceSite& site, const DeviceRequest& request) {
  return add_uhci(site, request, {"piix4-usb-uhci", 0x7112, 4});
}

Result<> add_xhci(DeviceSite& site, const DeviceRequest& request, devices::Xhci::Wiring wiring) {
  XhciOptions options;
  TRY(xhci_group().apply(request.values, options));
  wiring.usb2_ports = options.p2;
  wiring.usb3_ports = options.p3;
  wiring.slots = options.slots;
  wiring.interrupters = options.intrs;
  auto* xhci = TRY(plug_pci(site, request, options, std::make_unique<devices::Xhci>(wiring)));
  add_usb_bus(site, request, xhci->usb_bus(), *xhci);
  return {};
}

Result<> add_qemu_xhci(DeviceSite& site, const DeviceRequest& request) {
  return add_xhci(site, request, {.clock = site.virtual_clock()});
}

Result<> add_nec_xhci(DeviceSite& site, const DeviceRequest& request) {
  return add_xhci(site, request,
                  {.clock = site.virtual_clock(),
                   .vendor = 0x1033,
                   .device = 0x0194,
                   .revision = 3,
                   .name = "nec-usb-xhci"});
}

template <class Device>
Result<> add_input(DeviceSite& site, const DeviceRequest& request, typename Device::Wiring wiring) {
  InputOptions options;
  TRY(input_group().apply(request.values, options));
  TRY(plug_usb(site, request, options, std::make_unique<Device>(wiring)));
  return {};
}

Result<> add_keyboard(DeviceSite& site, const DeviceRequest& request) {
  return add_input<devices::UsbKeyboard>(site, request,
                                         {.clock = site.virtual_clock(), .hub = site.backends().input});
}

Result<> add_pointer(DeviceSite& site, const DeviceRequest& request, devices::UsbPointer::Form form) {
  return add_input<devices::UsbPointer>(
      site, request, {.clock = site.virtual_clock(), .hub = site.backends().input, .form = form});
}

Result<> add_mouse(DeviceSite& site, const DeviceRequest& request) {
  return add_pointer(site, request, devices::UsbPointer::Form::Mouse);
}

Result<> add_tablet(DeviceSite& site, const DeviceRequest& request) {
  return add_pointer(site, request, devices::UsbPointer::Form::Tablet);
}

}  // namespace

void add_usb_bus(DeviceSite& site, const DeviceRequest& request, bus::usb::UsbBus& bus,
                 const bus::Device& owner) {
  if (!request.id.empty()) {
    site.tree().add_bus(request.id + ".0", bus, &owner);
    return;
  }
  unsigned number = 0;
  for (const DeviceTree::NamedBus& known : site.tree().buses()) number += known.bus->type() == bus.type();
  site.tree().add_bus("usb-bus." + std::to_string(number), bus, &owner);
}

std::span<const DeviceDriver> usb_drivers() {
  static constexpr DeviceDriver kDrivers[] = {
      {"piix3-usb-uhci", "PCI", "USB", "UHCI controller of the 82371SB", [] { return uhci_group().help(); },
       add_piix3_uhci},
      {"piix4-usb-uhci", "PCI", "USB", "UHCI controller of the 82371AB", [] { return uhci_group().help(); },
       add_piix4_uhci},
      {"qemu-xhci", "PCI", "USB", "xHCI controller", [] { return xhci_group().help(); }, add_qemu_xhci},
      {"nec-usb-xhci", "PCI", "USB", "xHCI controller of the uPD720200", [] { return xhci_group().help(); },
       add_nec_xhci},
      {"usb-kbd", "usb-bus", "Input", "USB keyboard", [] { return input_group().help(); }, add_keyboard},
      {"usb-mouse", "usb-bus", "Input", "USB mouse", [] { return input_group().help(); }, add_mouse},
      {"usb-tablet", "usb-bus", "Input", "USB tablet: a pointer that needs no grab",
       [] { return input_group().help(); }, add_tablet},
  };
  return kDrivers;
}

}  // namespace rhea::machine
