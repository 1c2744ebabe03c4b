// The ISA bridge function of the 82371SB (PIIX3): steers the four PCI interrupt lines to ISA interrupts, and
// holds the reset control register at port 0xCF9 (handler offset 0). The edge/level registers at 0x4D0 live
// with the 8259 pair, which they belong to.
//
// Intel 290550-002: 2.2 (configuration registers of function 0), 2.5.1.2 (RC). Missing: X-bus chip selects,
// ISA aliases and MBIRQ0 have no effect. Caller holds the machine lock.
#pragma once

#include <array>
#include <cstdint>
#include <functional>

#include "bus/irq.h"
#include "bus/pci/pci_function.h"
#include "memory/io_handler.h"

namespace rhea::devices {

class Piix3 final : public bus::pci::PciFunction, public bus::IrqSink, public memory::IoHandler {
 public:
  struct Wiring {
    bus::IrqSink* isa = nullptr;           // pins 0..15
    std::function<void(bool hard)> reset;  // the guest asks for a reset of the machine
  };
  explicit Piix3(Wiring wiring);

  std::string_view name() const override { return "PIIX3"; }
  void reset(bus::ResetKind kind) override;
  void state(bus::StateVisitor& v) override;
  // PIRQA#..PIRQD# are pins 0..3.
  void set_irq(unsigned pin, bool level) override;
  // Devices on the board that share an interrupt with PIRQs (SCI) drive it here instead of the controller.
  void set_shared_isa(unsigned irq, bool level);

  uint64_t io_read(uint64_t offset, unsigned size) override;
  void io_write(uint64_t offset, unsigned size, uint64_t value) override;
  memory::IoTraits io_traits() const override { return {.min = 1, .max = 1}; }

 protected:
  void config_written(unsigned offset, unsigned size) override;

 private:
  void drive();

  Wiring wiring_;
  std::array<bool, 4> pirq_{};
  uint16_t shared_ = 0;
  uint16_t driven_ = 0;
  uint8_t reset_control_ = 0;
};

}  // namespace rhea::devices
