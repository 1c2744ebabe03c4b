// A Serial ATA controller with the AHCI programming interface, as in the ICH9 south bridge: six ports, memory
// registers, an index/data pair in ports, MSI.
//
// AHCI 1.3.1; ICH9 data sheet (Intel 316972), 15. Missing: command completion coalescing, enclosure
// management, the legacy IDE interface. Machine lock held.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "bus/pci/msi.h"
#include "bus/pci/pci_function.h"
#include "devices/ata/ahci_port.h"
#include "devices/virtio/guest_ram.h"

namespace rhea::devices {

class Ahci final : public bus::pci::PciFunction, public memory::IoHandler {
 public:
  static constexpr unsigned kPorts = 6;
  Ahci();

  std::string_view name() const override { return "ich9-ahci"; }
  void reset(bus::ResetKind kind) override;
  void state(bus::StateVisitor& v) override;

  AhciPort& port(unsigned number) { return *ports_[number]; }

  // The memory registers.
  static constexpr uint64_t kMemoryBytes = 0x1000;
  uint64_t io_read(uint64_t offset, unsigned size) override;
  void io_write(uint64_t offset, unsigned size, uint64_t value) override;
  memory::IoTraits io_traits() const override { return {.min = 4, .max = 4}; }
  memory::IoHandler& index_ports() { return index_ports_; }
  static constexpr uint64_t kIndexBytes = 32;

 private:
  struct IndexPorts final : memory::IoHandler {
    explicit IndexPorts(Ahci& a) : ahci(a) {}
    uint64_t io_read(uint64_t offset, unsigned size) override;
    void io_write(uint64_t offset, unsigned size, uint64_t value) override;
    memory::IoTraits io_traits() const override { return {.min = 4, .max = 4}; }
    Ahci& ahci;
  };

  uint32_t read(unsigned offset);
  void write(unsigned offset, uint32_t value);
  void reset_controller();
  void config_written(unsigned offset, unsigned size) override;
  void renew_ram();
  void renew_interrupt(bool event);

  bus::pci::Msi msi_;
  virtio::GuestRam ram_;
  IndexPorts index_ports_{*this};
  std::vector<std::unique_ptr<AhciPort>> ports_;
  uint32_t control_ = 0, interrupts_ = 0, index_ = 0;
};

}  // namespace rhea::devices
