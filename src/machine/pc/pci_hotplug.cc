#include "machine/pc/pci_hotplug.h"

#include <algorithm>

#include "bus/pci/pci_bridge.h"
#include "machine/plug/hotplug.h"

namespace rhea::machine {

using bus::pci::PciBus;

PciHotplug::PciHotplug(DeviceSite& site, PciBus& root, std::function<void()> raise_event)
    : site_(site),
      root_(root),
      registers_({.raise_event = std::move(raise_event),
                  .removable = [this](unsigned bus) { return removable_slots(site_.tree(), *buses_[bus]); },
                  .eject = [this](unsigned bus, unsigned slot,
                                  bool at_once) { eject(*buses_[bus], slot, at_once); }}) {
  if (root.is_express()) return;  // what is on it is part of the chipset
  buses_.push_back(&root);
  root.set_hotplug(&registers_.add_bus());
}

void PciHotplug::adopt() {
  for (const DeviceTree::NamedBus& known : site_.tree().buses()) {
    auto* bus = dynamic_cast<PciBus*>(known.bus);
    if (bus == nullptr || bus == &root_ || bus->hotplug() != nullptr) continue;
    buses_.push_back(bus);
    bus->set_hotplug(&registers_.add_bus());
  }
}

void PciHotplug::describe(acpi::Config& config) const {
  config.hotplug_buses.clear();
  if (buses_.empty()) return;
  if (root_.is_express()) config.hotplug_buses.push_back({});
  for (unsigned number = 0; number < buses_.size(); ++number) {
    acpi::HotplugBus described{.bridges = {}, .number = number, .slots = 0};
    described.slots = removable_slots(site_.tree(), *buses_[number]);
    for (const PciBus* at = buses_[number]; at->bridge() != nullptr; at = at->bridge()->bus())
      described.bridges.insert(described.bridges.begin(), at->bridge()->devfn());
    config.hotplug_buses.push_back(std::move(described));
  }
}

void PciHotplug::eject(PciBus& bus, unsigned slot, bool at_once) {
  auto work = [this, &bus, slot] { eject_slot(site_, bus, slot); };
  if (at_once) {
    work();
  } else {
    site_.host().when_still(work);
  }
}

}  // namespace rhea::machine
