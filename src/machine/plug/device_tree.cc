#include "machine/plug/device_tree.h"

#include <algorithm>

namespace rhea::machine {

void DeviceTree::add_bus(const std::string& name, bus::Bus& bus, const bus::Device* owner) {
  std::string free = name;
  for (unsigned n = 1; std::ranges::find(buses_, free, &NamedBus::name) != buses_.end(); ++n) {
    free = name + "." + std::to_string(n);
  }
  buses_.push_back({std::move(free), &bus, owner});
}

std::string DeviceTree::name_of(const bus::Bus& bus) const {
  auto at = std::ranges::find(buses_, &bus, &NamedBus::bus);
  return at == buses_.end() ? std::string() : at->name;
}

const DeviceTree::Plugged* DeviceTree::find(const std::string& id) const {
  if (id.empty()) return nullptr;
  auto at = std::ranges::find_if(devices_, [&id](const auto& p) { return p->request.id == id; });
  return at == devices_.end() ? nullptr : at->get();
}

Result<> DeviceTree::remove(const std::string& id) {
  const Plugged* plugged = find(id);
  if (plugged == nullptr) return failf(ErrorKind::NotFound, "Device '{}' not found", id);
  const bus::Device* device = plugged->device.get();
  for (const NamedBus& bus : buses_) {
    if (bus.owner != device) continue;
    bool used = std::ranges::any_of(devices_, [&bus](const auto& p) { return p->bus == bus.name; });
    if (used) return failf(ErrorKind::Busy, "Bus '{}' of device '{}' is in use", bus.name, id);
  }
  std::erase_if(buses_, [device](const NamedBus& bus) { return bus.owner == device; });
  std::erase_if(devices_, [plugged](const auto& p) { return p.get() == plugged; });
  return {};
}

void DeviceTree::reset(bus::ResetKind kind) {
  for (const auto& plugged : devices_) plugged->device->reset(kind);
}

void DeviceTree::state(bus::StateVisitor& v) {
  for (const auto& plugged : devices_) {
    v.enter(plugged->request.id.empty() ? plugged->device->name() : plugged->request.id);
    plugged->device->state(v);
    v.leave();
  }
}

}  // namespace rhea::machine
