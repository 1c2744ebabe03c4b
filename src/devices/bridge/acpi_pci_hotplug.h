// PCI slots that come and go by ACPI: registers that the board's DSDT reads in answer to general purpose
// event 1 and writes in _EJ0, for any number of buses.
//
// QEMU's docs/specs/acpi_pci_hotplug: "up" (arrivals), "down" (removals wanted), eject, removability, each
// four bytes, a bit a slot, of the bus whose number was written to the selector behind them. Reading an
// arrival takes it; a wanted removal stands until the slot is ejected or the machine is reset, which ejects
// it. Machine lock held.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "bus/device.h"
#include "bus/pci/slot_hotplug.h"
#include "memory/io_handler.h"

namespace rhea::devices {

class AcpiPciHotplug final : public bus::Device, public memory::IoHandler {
 public:
  static constexpr uint64_t kIoSize = 20;
  static constexpr unsigned kEvent = 1;

  struct Wiring {
    std::function<void()> raise_event;
    std::function<uint32_t(unsigned bus)> removable;  // slots, a bit each
    // The guest has let go of what is in the slot. `at_once`: nothing runs, the machine is being reset.
    std::function<void(unsigned bus, unsigned slot, bool at_once)> eject;
  };
  explicit AcpiPciHotplug(Wiring wiring) : wiring_(std::move(wiring)) {}

  // The next bus; the first is number 0, which is selected after a reset.
  bus::pci::SlotHotplug& add_bus();

  std::string_view name() const override { return "acpi-pci-hotplug"; }
  void reset(bus::ResetKind kind) override;
  void state(bus::StateVisitor& v) override;

  uint64_t io_read(uint64_t offset, unsigned size) override;
  void io_write(uint64_t offset, unsigned size, uint64_t value) override;
  memory::IoTraits io_traits() const override { return {.min = 1, .max = 4}; }

 private:
  struct Slots final : bus::pci::SlotHotplug {
    explicit Slots(AcpiPciHotplug& o) : owner(o) {}
    void arrived(unsigned slot) override;
    void ask_for_removal(unsigned slot) override;
    AcpiPciHotplug& owner;
    uint32_t up = 0, down = 0;
  };
  uint32_t read_register(uint64_t at, uint32_t mask);
  void eject(uint32_t slots);

  Wiring wiring_;
  std::vector<std::unique_ptr<Slots>> buses_;
  uint32_t selected_ = 0;
};

}  // namespace rhea::devices
