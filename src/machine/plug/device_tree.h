// The devices that were plugged into a board by name, and the buses there are to plug into: what -device,
// device_add, device_del and `info qtree` work on. Built-in devices of a board stand in its own members.
//
// Machine lock held.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/failf.h"
#include "base/result.h"
#include "bus/bus.h"
#include "bus/device.h"
#include "machine/plug/device_request.h"

namespace rhea::machine {

class DeviceTree {
 public:
  struct Plugged {
    DeviceRequest request;
    std::string bus;  // name of the bus it sits on; empty: on none (ports of the ISA bus, say)
    std::unique_ptr<bus::Device> device;
    std::string path;  // as programs name it: "/machine/peripheral/ID", "/machine/unattached/device[3]"
  };
  struct NamedBus {
    std::string name;  // "pci.0", "ide.0"
    bus::Bus* bus;
    const bus::Device* owner;  // that the bus belongs to; null: the board
  };

  // Buses have names of their own: an earlier one of that name makes the new one "NAME.1", as in QEMU.
  void add_bus(const std::string& name, bus::Bus& bus, const bus::Device* owner = nullptr);
  std::span<const NamedBus> buses() const { return buses_; }
  // The bus of this name, or the first of type T where none is given. Errors: NotFound, Invalid (a bus of
  // another type).
  template <class T>
  Result<T*> find_bus(const std::optional<std::string>& name) const;
  std::string name_of(const bus::Bus& bus) const;

  // Takes the device; reset and state() reach it from now on.
  template <class T>
  T& own(const DeviceRequest& request, std::unique_ptr<T> device, std::string bus = "");
  // By id or path. Null: there is none.
  const Plugged* find(const std::string& id) const;
  std::span<const std::unique_ptr<Plugged>> devices() const { return devices_; }
  // Takes the device off its bus and destroys it, after what is plugged into its buses.
  void remove(const Plugged& plugged);
  // Called after a device has gone.
  using Listener = std::function<void(const DeviceRequest& request, const std::string& path)>;
  void on_removal(Listener listener) { removed_ = std::move(listener); }

  // The first paths of default devices are others': the vCPUs'.
  void reserve_paths(unsigned count) { by_default_ = count; }

  void reset(bus::ResetKind kind);
  void state(bus::StateVisitor& v);

 private:
  std::vector<NamedBus> buses_;
  std::string path_for(const DeviceRequest& request);

  std::vector<std::unique_ptr<Plugged>> devices_;
  Listener removed_;
  unsigned anonymous_ = 0, by_default_ = 0;  // paths given so far
};

template <class T>
Result<T*> DeviceTree::find_bus(const std::optional<std::string>& name) const {
  for (const NamedBus& candidate : buses_) {
    if (name && candidate.name != *name) continue;
    if (T* found = dynamic_cast<T*>(candidate.bus)) return found;
    if (name) return failf(ErrorKind::Invalid, "bus '{}' is of type {}", *name, candidate.bus->type());
  }
  if (name) return failf(ErrorKind::NotFound, "Bus '{}' not found", *name);
  return fail(ErrorKind::NotFound, "there is no bus for this device");
}

template <class T>
T& DeviceTree::own(const DeviceRequest& request, std::unique_ptr<T> device, std::string bus) {
  T& made = *device;
  devices_.push_back(
      std::make_unique<Plugged>(Plugged{request, std::move(bus), std::move(device), path_for(request)}));
  return made;
}

}  // namespace rhea::machine
