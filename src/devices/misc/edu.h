// The educational PCI device: liveness check, factorial, interrupts by register, and DMA to and from its
// buffer.
//
// QEMU's docs/specs/edu.txt. A factorial takes no time; a DMA transfer takes 100 microseconds of virtual
// time. Caller holds the machine lock.
#pragma once

#include <array>
#include <cstdint>
#include <memory>

#include "async/clock.h"
#include "bus/pci/msi.h"
#include "bus/pci/pci_function.h"
#include "memory/io_handler.h"

namespace rhea::devices {

class Edu final : public bus::pci::PciFunction, public memory::IoHandler {
 public:
  struct Wiring {
    async::Clock& clock;  // virtual
    uint64_t dma_mask = (uint64_t{1} << 28) - 1;
  };
  explicit Edu(const Wiring& wiring);

  std::string_view name() const override { return "edu"; }
  void reset(bus::ResetKind kind) override;
  void state(bus::StateVisitor& v) override;
  uint64_t io_read(uint64_t offset, unsigned size) override;
  void io_write(uint64_t offset, unsigned size, uint64_t value) override;
  memory::IoTraits io_traits() const override { return {.min = 4, .max = 8}; }

 private:
  void raise(uint32_t bits);
  void lower(uint32_t bits);
  void compute(uint32_t n);
  void start_dma(uint64_t command);
  void finish_dma();
  bool in_buffer(uint64_t at) const;

  Wiring wiring_;
  bus::pci::Msi msi_;
  std::unique_ptr<async::Timer> timer_;
  std::array<uint8_t, 4096> buffer_{};
  uint32_t liveness_ = 0, factorial_ = 0, status_ = 0, interrupts_ = 0;
  uint64_t source_ = 0, destination_ = 0, count_ = 0, command_ = 0;
};

}  // namespace rhea::devices
