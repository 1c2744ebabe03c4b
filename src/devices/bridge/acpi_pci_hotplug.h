// PCI slots that come and go by ACPI on the "pc" board: registers that its DSDT reads in answer to general
// purpose event 1 and writes in _EJ0.
//
// QEMU's docs/specs/acpi_pci_hotplug: "up" (arrivals), "down" (removals wanted), eject, removability, four
// bytes each, a bit a slot. Reading an arrival takes it; a wanted removal stands until the slot is ejected or
// the machine is reset, which ejects it. Buses behind bridges have no such registers here. Machine lock held.
#pragma once

#include <cstdint>
#include <functional>

#include "bus/device.h"
#include "bus/pci/slot_hotplug.h"
#include "memory/io_handler.h"

namespace rhea::devices {

class AcpiPciHotplug final : public bus::Device, public memory::IoHandler, public bus::pci::SlotHotplug {
 public:
  static constexpr uint64_t kIoSize = 16;
  static constexpr unsigned kEvent = 1;

  struct Wiring {
    std::function<void()> raise_event;
    std::function<uint32_t()> removable;  // slots, a bit each
    // The guest has let go of what is in the slot. `at_once`: nothing runs, the machine is being reset.
    std::function<void(unsigned slot, bool at_once)> eject;
  };
  explicit AcpiPciHotplug(Wiring wiring) : wiring_(std::move(wiring)) {}

  std::string_view name() const override { return "acpi-pci-hotplug"; }
  void reset(bus::ResetKind kind) override;
  void state(bus::StateVisitor& v) override;

  uint64_t io_read(uint64_t offset, unsigned size) override;
  void io_write(uint64_t offset, unsigned size, uint64_t value) override;
  memory::IoTraits io_traits() const override { return {.min = 1, .max = 4}; }

  void arrived(unsigned slot) override;
  void ask_for_removal(unsigned slot) override;

 private:
  Wiring wiring_;
  uint32_t up_ = 0, down_ = 0;
};

}  // namespace rhea::devices
