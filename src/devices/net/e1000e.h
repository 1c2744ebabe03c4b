// Intel 82574L gigabit Ethernet controller ("e1000e"): the rings and offloads of the 82540EM, on PCI Express,
// with extended receive descriptors, MSI and five causes that go to vectors of MSI-X.
//
// Intel 82574 Family Datasheet, revision 3.5: 7.1 (receive), 7.4 (interrupts), chapter 10 (registers).
// Missing: the second queues and RSS, split headers, time stamps (the clock stands still), flash, and what
// e1000.h lists. Caller holds the machine lock.
#pragma once

#include <memory>

#include "bus/pci/express.h"
#include "bus/pci/msi.h"
#include "devices/net/e1000.h"

namespace rhea::devices {

class E1000e final : public E1000 {
 public:
  explicit E1000e(Wiring wiring, bus::pci::PortType port = bus::pci::PortType::IntegratedEndpoint);

  static constexpr uint64_t kFlashSize = 0x20000, kWindowSize = 0x20, kVectorsSize = 0x4000;
  memory::IoHandler& vectors() { return vectors_; }

  void reset(bus::ResetKind kind) override;
  void state(bus::StateVisitor& v) override;

 private:
  // BAR 1: no flash is fitted.
  struct Flash final : memory::IoHandler {
    uint64_t io_read(uint64_t, unsigned size) override { return size == 8 ? ~uint64_t{0} : 0xffffffff; }
    void io_write(uint64_t, unsigned, uint64_t) override {}
  };
  // BAR 3: the vectors' table, and their pending bits in the upper half.
  struct Vectors final : memory::IoHandler {
    explicit Vectors(E1000e& n) : nic(n) {}
    uint64_t io_read(uint64_t offset, unsigned size) override;
    void io_write(uint64_t offset, unsigned size, uint64_t value) override;
    memory::IoTraits io_traits() const override { return {.min = 4, .max = 8}; }
    E1000e& nic;
  };

  bool own_write(uint32_t offset, uint32_t value) override;
  bool own_read(uint32_t offset, uint32_t& value) override;
  void own_reset() override;
  void drive_interrupt(bool level) override;
  bool announce(uint32_t bits) override;
  void send_messages();
  bool write_back(uint64_t place, const Stored& stored) override;
  void config_written(unsigned offset, unsigned size) override;

  Flash flash_;
  Vectors vectors_{*this};
  bus::pci::Msi msi_;
  bus::pci::Msix msix_;
};

}  // namespace rhea::devices
