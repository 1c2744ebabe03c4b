#include "devices/bridge/acpi_pci_hotplug.h"

#include <utility>

namespace rhea::devices {

namespace {
constexpr unsigned kSlots = 32;
constexpr uint64_t kUp = 0, kDown = 4, kEject = 8, kRemovable = 12, kSelector = 16;

constexpr uint32_t bit(unsigned slot) {
  return uint32_t{1} << (slot % kSlots);
}

// Where the accessed bytes are in their register.
constexpr uint32_t mask_of(uint64_t offset, unsigned size) {
  const uint64_t bytes = size < 4 ? (uint64_t{1} << (8 * size)) - 1 : 0xffffffff;
  return static_cast<uint32_t>(bytes << (8 * (offset & 3)));
}
}  // namespace

bus::pci::SlotHotplug& AcpiPciHotplug::add_bus() {
  buses_.push_back(std::make_unique<Slots>(*this));
  return *buses_.back();
}

void AcpiPciHotplug::reset(bus::ResetKind) {
  selected_ = 0;
  for (unsigned bus = 0; bus < buses_.size(); ++bus) {
    buses_[bus]->up = 0;
    const uint32_t wanted = std::exchange(buses_[bus]->down, 0);
    for (unsigned slot = 0; slot < kSlots; ++slot) {
      if ((wanted & bit(slot)) != 0) wiring_.eject(bus, slot, true);
    }
  }
}

void AcpiPciHotplug::state(bus::StateVisitor& v) {
  v.field("selected", selected_);
  for (const auto& slots : buses_) {
    v.enter("bus");
    v.field("up", slots->up);
    v.field("down", slots->down);
    v.leave();
  }
}

uint32_t AcpiPciHotplug::read_register(uint64_t at, uint32_t mask) {
  if (at == kSelector) return selected_;
  if (selected_ >= buses_.size()) return 0;
  Slots& slots = *buses_[selected_];
  switch (at) {
    case kUp: return std::exchange(slots.up, slots.up & ~mask);
    case kDown: return slots.down;
    case kRemovable: return wiring_.removable(selected_);
    default: return 0;  // features of the eject register: none
  }
}

uint64_t AcpiPciHotplug::io_read(uint64_t offset, unsigned size) {
  const uint32_t mask = mask_of(offset, size);
  return (read_register(offset & ~uint64_t{3}, mask) & mask) >> (8 * (offset & 3));
}

void AcpiPciHotplug::eject(uint32_t wanted) {
  for (unsigned slot = 0; slot < kSlots; ++slot) {
    if ((wanted & bit(slot)) == 0) continue;
    buses_[selected_]->down &= ~bit(slot);
    wiring_.eject(selected_, slot, false);
  }
}

void AcpiPciHotplug::io_write(uint64_t offset, unsigned size, uint64_t value) {
  const uint32_t mask = mask_of(offset, size);
  const uint32_t sent = static_cast<uint32_t>(value << (8 * (offset & 3))) & mask;
  const uint64_t at = offset & ~uint64_t{3};
  if (at == kSelector) selected_ = (selected_ & ~mask) | sent;
  if (at == kEject && selected_ < buses_.size()) eject(sent);
}

void AcpiPciHotplug::Slots::arrived(unsigned slot) {
  up |= bit(slot);
  down &= ~bit(slot);
  owner.wiring_.raise_event();
}

void AcpiPciHotplug::Slots::ask_for_removal(unsigned slot) {
  down |= bit(slot);
  owner.wiring_.raise_event();
}

}  // namespace rhea::devices
