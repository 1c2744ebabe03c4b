#include "devices/bridge/acpi_pci_hotplug.h"

#include <utility>

namespace rhea::devices {

namespace {
constexpr unsigned kSlots = 32;
constexpr uint64_t kUp = 0, kDown = 4, kEject = 8, kRemovable = 12;

constexpr uint32_t bit(unsigned slot) {
  return uint32_t{1} << (slot % kSlots);
}
}  // namespace

void AcpiPciHotplug::reset(bus::ResetKind) {
  up_ = 0;
  const uint32_t wanted = std::exchange(down_, 0);
  for (unsigned slot = 0; slot < kSlots; ++slot) {
    if ((wanted & bit(slot)) != 0) wiring_.eject(slot, true);
  }
}

void AcpiPciHotplug::state(bus::StateVisitor& v) {
  v.field("up", up_);
  v.field("down", down_);
}

uint64_t AcpiPciHotplug::io_read(uint64_t offset, unsigned size) {
  const unsigned shift = 8 * static_cast<unsigned>(offset & 3);
  const uint32_t mask = static_cast<uint32_t>(((uint64_t{1} << (8 * size)) - 1) << shift);
  uint32_t value = 0;
  switch (offset & ~uint64_t{3}) {
    case kUp:
      value = up_;
      up_ &= ~mask;
      break;
    case kDown: value = down_; break;
    case kEject: break;  // features: none
    case kRemovable: value = wiring_.removable(); break;
    default: break;
  }
  return (value & mask) >> shift;
}

void AcpiPciHotplug::io_write(uint64_t offset, unsigned size, uint64_t value) {
  if ((offset & ~uint64_t{3}) != kEject) return;
  const uint64_t sent = size < 8 ? value & ((uint64_t{1} << (8 * size)) - 1) : value;
  const uint32_t slots = static_cast<uint32_t>(sent << (8 * (offset & 3)));
  for (unsigned slot = 0; slot < kSlots; ++slot) {
    if ((slots & bit(slot)) == 0) continue;
    down_ &= ~bit(slot);
    wiring_.eject(slot, false);
  }
}

void AcpiPciHotplug::arrived(unsigned slot) {
  up_ |= bit(slot);
  down_ &= ~bit(slot);
  wiring_.raise_event();
}

void AcpiPciHotplug::ask_for_removal(unsigned slot) {
  down_ |= bit(slot);
  wiring_.raise_event();
}

}  // namespace rhea::devices
