#include "machine/plug/registry.h"

#include <fmt/core.h>

#include <algorithm>

#include "block/drive/drives.h"
#include "machine/plug/other_devices.h"

namespace rhea::machine {
namespace {

// Every family's table.
std::vector<const DeviceDriver*> all_drivers() {
  std::vector<const DeviceDriver*> all;
  for (std::span<const DeviceDriver> family :
       {ahci_drivers(), bridge_drivers(), display_drivers(), floppy_drivers(), misc_drivers(),
        sound_drivers(), net_drivers(), parallel_drivers(), storage_drivers(), usb_drivers(),
        virtio_drivers()}) {
    for (const DeviceDriver& driver : family) all.push_back(&driver);
  }
  std::ranges::sort(all, {}, [](const DeviceDriver* d) { return std::string_view(d->name); });
  return all;
}

std::unexpected<Error> no_such_driver(const std::string& name) {
  if (is_other_device(name))
    return failf(ErrorKind::Unsupported, "-device {0}: '{0}' is not supported by this version", name);
  std::vector<std::string_view> names;
  for (const DeviceDriver* known : all_drivers()) names.emplace_back(known->name);
  return failf(ErrorKind::NotFound, "-device {0}: '{0}' is not a valid device model name{1}", name,
               config::did_you_mean(name, names));
}

}  // namespace

const DeviceDriver* find_driver(std::string_view name) {
  for (const DeviceDriver* driver : all_drivers()) {
    if (driver->name == name) return driver;
  }
  return nullptr;
}

namespace {

// Drives that have become the new device's are told which it is.
void name_drives(DeviceSite& site) {
  const block::Drives* drives = site.backends().drives;
  if (drives == nullptr || site.tree().devices().empty()) return;
  const DeviceTree::Plugged& plugged = *site.tree().devices().back();
  std::string name = plugged.request.id.empty() ? plugged.path : plugged.request.id;
  if (plugged.request.driver.starts_with("virtio-blk")) name = plugged.path + "/virtio-backend";
  for (const auto& drive : drives->all()) {
    if (drive->attached() && drive->attachment().device_id.empty()) drive->set_device_id(name);
  }
}

}  // namespace

Result<> add_device(DeviceSite& site, const DeviceRequest& request) {
  const DeviceDriver* driver = find_driver(request.driver);
  if (driver == nullptr) return no_such_driver(request.driver);
  if (site.tree().find(request.id) != nullptr)
    return failf(ErrorKind::Invalid, "-device {}: Duplicate device ID '{}'", request.driver, request.id);
  TRY_IN(driver->add(site, request), "-device " + request.driver);
  name_drives(site);
  return {};
}

std::vector<std::string> driver_names() {
  std::vector<std::string> names;
  for (const DeviceDriver* driver : all_drivers()) names.emplace_back(driver->name);
  return names;
}

std::string devices_help() {
  std::string text;
  std::vector<const DeviceDriver*> all = all_drivers();
  for (const char* category :
       {"Controller/Bridge/Hub", "USB", "Storage", "Network", "Input", "Display", "Sound", "Misc"}) {
    std::string lines;
    for (const DeviceDriver* driver : all) {
      if (std::string_view(driver->category) != category) continue;
      lines += fmt::format("name \"{}\"", driver->name);
      if (driver->bus != nullptr) lines += fmt::format(", bus {}", driver->bus);
      lines += fmt::format(", desc \"{}\"\n", driver->help);
    }
    if (lines.empty()) continue;
    text += fmt::format("{}{} devices:\n{}", text.empty() ? "" : "\n", category, lines);
  }
  return text;
}

Result<std::string> device_help(const std::string& name) {
  const DeviceDriver* driver = find_driver(name);
  if (driver == nullptr) return no_such_driver(name);
  return driver->options();
}

}  // namespace rhea::machine
