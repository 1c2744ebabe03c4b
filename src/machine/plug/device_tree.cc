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

std::string DeviceTree::path_for(const DeviceRequest& request) {
  if (!request.id.empty()) return "/machine/peripheral/" + request.id;
  const bool board = request.by_default;
  return (board ? "/machine/unattached/device[" : "/machine/peripheral-anon/device[") +
         std::to_string(board ? by_default_++ : anonymous_++) + "]";
}

const DeviceTree::Plugged* DeviceTree::find(const std::string& id) const {
  if (id.empty()) return nullptr;
  auto at =
      std::ranges::find_if(devices_, [&id](const auto& p) { return p->request.id == id || p->path == id; });
  return at == devices_.end() ? nullptr : at->get();
}

void DeviceTree::remove(const Plugged& plugged) {
  const bus::Device* device = plugged.device.get();
  auto child = [this, device]() -> const Plugged* {
    for (const auto& other : devices_) {
      for (const NamedBus& bus : buses_) {
        if (bus.owner == device && other->bus == bus.name) return other.get();
      }
    }
    return nullptr;
  };
  while (const Plugged* inner = child()) remove(*inner);
  std::erase_if(buses_, [device](const NamedBus& bus) { return bus.owner == device; });
  auto at = std::ranges::find(devices_, &plugged, &std::unique_ptr<Plugged>::get);
  const std::unique_ptr<Plugged> gone = std::move(*at);
  devices_.erase(at);
  gone->device.reset();
  if (removed_) removed_(gone->request, gone->path);
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
