// USB: host controllers and what is plugged into them.
#include <algorithm>
#include <memory>

#include "bus/pci/firmware_path.h"
#include "config/schema.h"
#include "devices/usb/ehci.h"
#include "devices/usb/uhci.h"
#include "devices/usb/usb_hub.h"
#include "devices/usb/usb_keyboard.h"
#include "devices/usb/usb_pointer.h"
#include "devices/usb/usb_storage.h"
#include "devices/usb/xhci.h"
#include "machine/plug/device_driver.h"
#include "machine/plug/disk_options.h"
#include "machine/plug/pci_place.h"
#include "machine/plug/usb_place.h"

namespace rhea::machine {

Result<bus::usb::UsbPort*> choose_usb_port(DeviceSite& site, const UsbPlace& place, unsigned speeds) {
  auto* bus = TRY(site.tree().find_bus<bus::usb::UsbBus>(place.bus));
  return bus->choose(speeds, place.port.value_or(""));
}

namespace {

struct ControllerOptions : PciPlace {};
struct UhciOptions : PciPlace {
  std::optional<std::string> masterbus;
  unsigned firstport = 0;
};
struct XhciOptions : PciPlace {
  unsigned p2 = 4, p3 = 4, slots = devices::Xhci::kMostSlots, intrs = devices::Xhci::kInterrupterCount;
};
struct InputOptions : UsbPlace {};

const config::Group<UhciOptions>& uhci_group() {
  static const config::Group<UhciOptions> group{
      "piix3-usb-uhci", "",
      with_pci_place<UhciOptions>(
          {config::text("masterbus", &UhciOptions::masterbus,
                        "the bus of the EHCI controller that this one is a companion of"),
           config::integer("firstport", &UhciOptions::firstport, 0u, 5u,
                           "the first of its ports that are ours, from 0")})};
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

struct StorageOptions : UsbPlace, DiskOptions {
  bool removable = false;
};

const config::Group<ControllerOptions>& ehci_group() {
  static const config::Group<ControllerOptions> group{"usb-ehci", "", with_pci_place<ControllerOptions>({})};
  return group;
}

const config::Group<InputOptions>& hub_group() {
  static const config::Group<InputOptions> group{"usb-hub", "", with_usb_place<InputOptions>({})};
  return group;
}

const config::Group<StorageOptions>& storage_group() {
  static const config::Group<StorageOptions> group{
      "usb-storage", "",
      with_usb_place<StorageOptions>(with_disk<StorageOptions>(
          {config::boolean("removable", &StorageOptions::removable, "the guest sees a removable medium")}))};
  return group;
}

// Where firmware finds the disk: "/pci@i0cf8/usb@1,2/storage@1/channel@0/disk@0,0", a hub@N for each hub
// between.
std::string boot_path(DeviceSite& site, const bus::usb::UsbDevice& device) {
  std::string out;
  for (const DeviceTree::NamedBus& bus : site.tree().buses()) {
    const auto* usb = dynamic_cast<const bus::usb::UsbBus*>(bus.bus);
    if (usb == nullptr || std::ranges::find(usb->ports(), device.port()) == usb->ports().end()) continue;
    if (const auto* owner = dynamic_cast<const bus::pci::PciFunction*>(bus.owner))
      out = bus::pci::firmware_path(*owner);
  }
  std::string path = device.port()->path();
  for (size_t dot = path.find('.'); dot != std::string::npos; dot = path.find('.')) {
    out += "/hub@" + path.substr(0, dot);
    path.erase(0, dot + 1);
  }
  return out + "/storage@" + path + "/channel@0/disk@0,0";
}

struct UhciModel {
  const char* name;
  uint16_t device;
  uint8_t pin;
};

Result<devices::Ehci*> find_ehci(DeviceSite& site, const std::string& name) {
  TRY(site.tree().find_bus<bus::usb::UsbBus>(name));
  for (const DeviceTree::NamedBus& bus : site.tree().buses()) {
    if (bus.name != name) continue;
    for (const auto& plugged : site.tree().devices()) {
      auto* ehci = dynamic_cast<devices::Ehci*>(plugged->device.get());
      if (ehci != nullptr && ehci == bus.owner) return ehci;
    }
  }
  return failf(ErrorKind::Invalid, "USB bus '{}' takes no companion controllers", name);
}

Result<> add_uhci(DeviceSite& site, const DeviceRequest& request, const UhciModel& model) {
  UhciOptions options;
  TRY(uhci_group().apply(request.values, options));
  devices::Ehci* master = options.masterbus ? TRY(find_ehci(site, *options.masterbus)) : nullptr;
  auto* uhci =
      TRY(plug_pci(site, request, options,
                   std::make_unique<devices::Uhci>(devices::Uhci::Wiring{.clock = site.virtual_clock(),
                                                                         .device = model.device,
                                                                         .interrupt_pin = model.pin,
                                                                         .name = model.name})));
  if (master != nullptr) return master->add_companion(options.firstport, uhci->usb_bus().ports());
  add_usb_bus(site, request, uhci->usb_bus(), *uhci);
  return {};
}

// Functions of the 82801I: three controllers for each of its EHCIs.
template <unsigned kNumber>
Result<> add_ich9_uhci(DeviceSite& site, const DeviceRequest& request) {
  static constexpr const char* kNames[] = {"ich9-usb-uhci1", "ich9-usb-uhci2", "ich9-usb-uhci3",
                                           "ich9-usb-uhci4", "ich9-usb-uhci5", "ich9-usb-uhci6"};
  return add_uhci(
      site, request,
      {kNames[kNumber], static_cast<uint16_t>(0x2934 + kNumber), static_cast<uint8_t>(1 + kNumber % 3)});
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

Result<> add_ehci(DeviceSite& site, const DeviceRequest& request, const devices::Ehci::Wiring& wiring) {
  ControllerOptions options;
  TRY(ehci_group().apply(request.values, options));
  auto* ehci = TRY(plug_pci(site, request, options, std::make_unique<devices::Ehci>(wiring)));
  add_usb_bus(site, request, ehci->usb_bus(), *ehci);
  return {};
}

Result<> add_usb_ehci(DeviceSite& site, const DeviceRequest& request) {
  return add_ehci(site, request, {.clock = site.virtual_clock()});
}

Result<> add_ich9_ehci1(DeviceSite& site, const DeviceRequest& request) {
  return add_ehci(
      site, request,
      {.clock = site.virtual_clock(), .device = 0x293a, .interrupt_pin = 4, .name = "ich9-usb-ehci1"});
}

Result<> add_ich9_ehci2(DeviceSite& site, const DeviceRequest& request) {
  return add_ehci(
      site, request,
      {.clock = site.virtual_clock(), .device = 0x293c, .interrupt_pin = 3, .name = "ich9-usb-ehci2"});
}

Result<> add_hub(DeviceSite& site, const DeviceRequest& request) {
  InputOptions options;
  TRY(hub_group().apply(request.values, options));
  auto* bus = TRY(site.tree().find_bus<bus::usb::UsbBus>(options.bus));
  auto* hub = TRY(plug_usb(site, request, options, std::make_unique<devices::UsbHub>()));
  hub->join(*bus);
  return {};
}

Result<> add_storage(DeviceSite& site, const DeviceRequest& request) {
  StorageOptions options;
  TRY(storage_group().apply(request.values, options));
  if (options.logical_block != 512 || options.physical_block != 512)
    return fail(ErrorKind::Unsupported, "usb-storage has blocks of 512 bytes only");
  for (const uint32_t value : {options.min_io, options.opt_io, options.discard_granularity}) {
    if (value != 0)
      return fail(ErrorKind::Unsupported,
                  "min_io_size, opt_io_size and discard_granularity are not supported here");
  }
  block::Drive* drive = TRY(take_drive(site, options));
  auto storage = std::make_unique<devices::UsbStorage>(
      devices::UsbStorage::Wiring{.drive = drive,
                                  .removable = options.removable,
                                  .cdrom = drive->config().cdrom,
                                  .serial = options.serial.empty() ? drive->serial() : options.serial});
  TRY(storage->connect(request.id));
  auto* disk = TRY(plug_usb(site, request, options, std::move(storage)));
  if (!options.bootindex) return {};
  return site.add_boot_path(*options.bootindex, boot_path(site, *disk));
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
      {"ich9-usb-uhci1", "PCI", "USB", "UHCI controller of the 82801I", [] { return uhci_group().help(); },
       add_ich9_uhci<0>},
      {"ich9-usb-uhci2", "PCI", "USB", "UHCI controller of the 82801I", [] { return uhci_group().help(); },
       add_ich9_uhci<1>},
      {"ich9-usb-uhci3", "PCI", "USB", "UHCI controller of the 82801I", [] { return uhci_group().help(); },
       add_ich9_uhci<2>},
      {"ich9-usb-uhci4", "PCI", "USB", "UHCI controller of the 82801I", [] { return uhci_group().help(); },
       add_ich9_uhci<3>},
      {"ich9-usb-uhci5", "PCI", "USB", "UHCI controller of the 82801I", [] { return uhci_group().help(); },
       add_ich9_uhci<4>},
      {"ich9-usb-uhci6", "PCI", "USB", "UHCI controller of the 82801I", [] { return uhci_group().help(); },
       add_ich9_uhci<5>},
      {"qemu-xhci", "PCI", "USB", "xHCI controller", [] { return xhci_group().help(); }, add_qemu_xhci},
      {"nec-usb-xhci", "PCI", "USB", "xHCI controller of the uPD720200", [] { return xhci_group().help(); },
       add_nec_xhci},
      {"usb-ehci", "PCI", "USB", "EHCI controller of the 82801D", [] { return ehci_group().help(); },
       add_usb_ehci},
      {"ich9-usb-ehci1", "PCI", "USB", "EHCI controller of the 82801I", [] { return ehci_group().help(); },
       add_ich9_ehci1},
      {"ich9-usb-ehci2", "PCI", "USB", "second EHCI controller of the 82801I",
       [] { return ehci_group().help(); }, add_ich9_ehci2},
      {"usb-hub", "usb-bus", "Controller/Bridge/Hub", "USB hub with eight ports",
       [] { return hub_group().help(); }, add_hub},
      {"usb-storage", "usb-bus", "Storage", "USB disk", [] { return storage_group().help(); }, add_storage},
      {"usb-kbd", "usb-bus", "Input", "USB keyboard", [] { return input_group().help(); }, add_keyboard},
      {"usb-mouse", "usb-bus", "Input", "USB mouse", [] { return input_group().help(); }, add_mouse},
      {"usb-tablet", "usb-bus", "Input", "USB tablet: a pointer that needs no grab",
       [] { return input_group().help(); }, add_tablet},
  };
  return kDrivers;
}

}  // namespace rhea::machine
