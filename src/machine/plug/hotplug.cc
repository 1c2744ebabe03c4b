#include "machine/plug/hotplug.h"

#include <algorithm>

#include "block/drive/drives.h"
#include "bus/pci/pci_bridge.h"
#include "machine/plug/other_devices.h"
#include "machine/plug/registry.h"

namespace rhea::machine {
namespace {

using bus::pci::PciBus;
using bus::pci::PciFunction;

const std::string* value_of(const DeviceRequest& request, std::string_view key) {
  for (const auto& [name, value] : request.values) {
    if (name == key && value) return &*value;
  }
  return nullptr;
}

PciFunction* function_of(const DeviceTree::Plugged& plugged) {
  return dynamic_cast<PciFunction*>(plugged.device.get());
}

// Bridges whose bus the guest's tables describe stay.
bool is_fixed_bridge(const PciFunction& function) {
  const auto* bridge = dynamic_cast<const bus::pci::PciBridge*>(&function);
  return bridge != nullptr && bridge->secondary().hotplug() != nullptr;
}

bool may_leave(const DeviceTree& tree, const PciFunction& function) {
  if (is_fixed_bridge(function)) return false;
  for (const auto& plugged : tree.devices()) {
    if (plugged->device.get() != &function) continue;
    const DeviceDriver* driver = find_driver(plugged->request.driver);
    return driver != nullptr && driver->hotpluggable;
  }
  return false;  // the board's own
}

std::unexpected<Error> no_hotplug(std::string_view bus) {
  return failf(ErrorKind::Unsupported, "Bus '{}' does not support hotplugging", bus);
}

// Whether the bus that the device is for, or is on, lets devices come and go.
Result<> check_bus(DeviceSite& site, const DeviceDriver& driver, const DeviceRequest& request) {
  const std::string_view kind = driver.bus != nullptr ? driver.bus : "";
  const std::string* named = value_of(request, "bus");
  if (kind == "PCI") {
    auto* bus = TRY(site.tree().find_bus<PciBus>(named != nullptr ? std::optional(*named) : std::nullopt));
    return bus->hotplug() != nullptr ? Result<>() : no_hotplug(site.tree().name_of(*bus));
  }
  if (kind == "ISA") return no_hotplug("isa.0");
  if (kind == "IDE" || kind == "floppy-bus")
    return no_hotplug(named != nullptr ? *named : kind == "IDE" ? "ide.0" : "floppy-bus.0");
  return {};
}

// A drive of -drive was made for the device and goes with it; one of -blockdev stays.
void drop_drive(DeviceSite& site, const std::string& id) {
  block::Drives* drives = site.backends().drives;
  if (drives == nullptr) return;
  const auto is_it = [&id](const auto& drive) { return drive->id() == id; };
  const auto at = std::ranges::find_if(drives->all(), is_it);
  if (at != drives->all().end() && !(*at)->attached() && !(*at)->is_node()) drives->remove(**at);
}

void take_out(DeviceSite& site, const DeviceTree::Plugged& plugged) {
  const std::string* named = value_of(plugged.request, "drive");
  const std::string drive = named != nullptr ? *named : "";
  site.tree().remove(plugged);
  if (!drive.empty()) drop_drive(site, drive);
}

}  // namespace

Result<> hot_add(DeviceSite& site, const DeviceRequest& request) {
  const DeviceDriver* driver = find_driver(request.driver);
  if (driver == nullptr && is_other_device(request.driver))
    return failf(ErrorKind::Unsupported, "'{}' is not supported by this version", request.driver);
  if (driver == nullptr)
    return failf(ErrorKind::Invalid, "'{}' is not a valid device model name", request.driver);
  if (!driver->hotpluggable || driver->bus == nullptr)
    return fail(ErrorKind::Invalid, "Parameter 'driver' expects a pluggable device type");
  TRY(check_bus(site, *driver, request));
  DeviceTree& tree = site.tree();
  const size_t before = tree.devices().size();
  if (auto added = add_device(site, request); !added) {
    std::string text = added.error().message();
    const std::string prefix = "-device " + request.driver + ": ";
    if (text.starts_with(prefix)) text.erase(0, prefix.size());
    constexpr std::string_view kUnknown = "unknown key '";
    if (text.starts_with(kUnknown)) {
      const std::string key =
          text.substr(kUnknown.size(), text.find('\'', kUnknown.size()) - kUnknown.size());
      return failf(ErrorKind::Invalid, "Property '{}.{}' not found", request.driver, key);
    }
    return fail(ErrorKind::Invalid, text);
  }
  for (size_t i = before; i < tree.devices().size(); ++i) {
    const DeviceTree::Plugged& plugged = *tree.devices()[i];
    plugged.device->reset(bus::ResetKind::Cold);
    const PciFunction* function = function_of(plugged);
    if (function != nullptr && function->bus() != nullptr && function->bus()->hotplug() != nullptr)
      function->bus()->hotplug()->arrived(function->devfn() >> 3);
  }
  return {};
}

Result<> hot_remove(DeviceSite& site, const std::string& id) {
  const DeviceTree::Plugged* plugged = site.tree().find(id);
  if (plugged == nullptr) return failf(ErrorKind::NotFound, "Device '{}' not found", id);
  const DeviceDriver* driver = find_driver(plugged->request.driver);
  if (driver == nullptr || !driver->hotpluggable || driver->bus == nullptr)
    return failf(ErrorKind::Unsupported, "Device '{}' does not support hotplugging", plugged->request.driver);
  if (const PciFunction* function = function_of(*plugged); function != nullptr) {
    bus::pci::SlotHotplug* hotplug = function->bus()->hotplug();
    if (hotplug == nullptr) return no_hotplug(plugged->bus);
    const unsigned slot = function->devfn() >> 3;
    if ((removable_slots(site.tree(), *function->bus()) >> slot & 1) == 0)
      return failf(ErrorKind::Unsupported,
                   "Slot {} of bus '{}' has functions that do not support hotplugging", slot, plugged->bus);
    hotplug->ask_for_removal(slot);
    return {};
  }
  TRY(check_bus(site, *driver, plugged->request));
  take_out(site, *plugged);
  return {};
}

uint32_t removable_slots(const DeviceTree& tree, const PciBus& bus) {
  uint32_t slots = 0;
  for (unsigned slot = 0; slot < bus.slots(); ++slot) {
    bool all = true;
    for (unsigned number = 0; number < 8; ++number) {
      const PciFunction* function = bus.at(bus::pci::devfn_of(slot, number));
      all = all && (function == nullptr || may_leave(tree, *function));
    }
    if (all) slots |= uint32_t{1} << slot;
  }
  return slots;
}

void eject_slot(DeviceSite& site, const PciBus& bus, unsigned slot) {
  for (unsigned number = 0; number < 8; ++number) {
    const PciFunction* function = bus.at(bus::pci::devfn_of(slot, number));
    if (function == nullptr || !may_leave(site.tree(), *function)) continue;
    const auto at = std::ranges::find_if(
        site.tree().devices(), [function](const auto& plugged) { return plugged->device.get() == function; });
    take_out(site, **at);
  }
}

}  // namespace rhea::machine
