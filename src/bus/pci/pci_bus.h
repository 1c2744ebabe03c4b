// One PCI bus segment behind a host bridge or a PCI-to-PCI bridge: the functions on it, configuration cycles
// by bus number, and the routing of interrupt pins up to the host bridge.
//
// PCI Local Bus Specification 3.0, 3.2.2.3 (configuration) and 2.2.6 (interrupt pins); PCI-to-PCI Bridge
// Architecture 1.2, 9.1 (pins are rotated by the slot number behind bridges). Caller holds the machine lock.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "bus/apic_bus.h"
#include "bus/bus.h"
#include "bus/irq.h"
#include "bus/pci/pci_function.h"
#include "bus/pci/slot_hotplug.h"

namespace rhea::bus::pci {

class PciBridge;

constexpr unsigned devfn_of(unsigned slot, unsigned function) {
  return slot << 3 | function;
}

class PciBus final : public Bus {
 public:
  static constexpr unsigned kMostLines = 8;
  // Which of the interrupt lines the pin (0..3) of a device in this slot of the root bus drives.
  using Route = unsigned (*)(unsigned slot, unsigned pin);
  // Boards with a PIIX3: lines 0..3.
  static unsigned rotate_piix(unsigned slot, unsigned pin) { return (slot - 1 + pin) & 3; }

  // Everything that the root bus reaches.
  struct Wiring {
    memory::AddressSpace& memory;
    memory::AddressSpace& ports;
    IrqSink* intx = nullptr;   // by line
    ApicBus* apics = nullptr;  // null: messages are plain memory writes
    bool express = false;      // of the root bus
    Route route = &rotate_piix;
  };
  explicit PciBus(const Wiring& wiring);
  // The secondary bus of a bridge that sits on another bus.
  PciBus(PciBridge& bridge, const Wiring& wiring);
  ~PciBus() override;
  PciBus(const PciBus&) = delete;
  PciBus& operator=(const PciBus&) = delete;
  std::string_view type() const override { return is_express() ? "PCIE" : "PCI"; }
  // Whether functions here have PCI Express capabilities.
  bool is_express() const { return wiring_.express; }

  // The slot is free; the function outlives its stay (its destructor detaches it).
  void attach(PciFunction& function, unsigned devfn);
  void detach(PciFunction& function);
  PciFunction* at(unsigned devfn) const { return functions_[devfn & 0xff]; }
  std::optional<unsigned> free_slot(unsigned first) const;
  unsigned slots() const { return is_express() && !is_root() ? 1 : 32; }  // a link leads to one device

  // Configuration cycles; all ones where nothing answers. offset < 4096, within one dword.
  uint32_t config_read(unsigned bus, unsigned devfn, unsigned offset, unsigned size);
  void config_write(unsigned bus, unsigned devfn, unsigned offset, unsigned size, uint32_t value);

  void set_pin(unsigned slot, unsigned pin, bool level);
  bool forwards(BarKind kind, uint64_t first, uint64_t last) const;
  void send_message(uint64_t address, uint32_t data);
  void update_mappings();

  memory::AddressSpace& memory() const { return wiring_.memory; }
  memory::AddressSpace& ports() const { return wiring_.ports; }
  const Wiring& wiring() const { return wiring_; }
  bool is_root() const { return bridge_ == nullptr; }
  // How the guest hears of slots that fill and empty; null: they do not. It outlives the bus's use.
  SlotHotplug* hotplug() const { return hotplug_; }
  void set_hotplug(SlotHotplug* hotplug) { hotplug_ = hotplug; }
  // The bridge that leads here; null: the host's.
  PciBridge* bridge() const { return bridge_; }

 private:
  PciFunction* find(unsigned bus, unsigned devfn);

  Wiring wiring_;
  PciBridge* bridge_ = nullptr;
  SlotHotplug* hotplug_ = nullptr;
  std::array<PciFunction*, 256> functions_{};
  std::array<unsigned, kMostLines> asserted_{};  // how many (slot, pin) pairs drive each line
};

}  // namespace rhea::bus::pci
