// How a PC AT tells its processor of an x87 error while CR0.NE is clear: FERR# sets a latch that raises IRQ
// 13; a write to port F0 or F1 clears it. IBM PC AT Technical Reference, "Coprocessor"; SDM vol. 1 8.7.2.
// Missing: IGNNE#, so a waiting instruction in the handler in front of FNCLEX or FNINIT stops again. Caller
// holds the machine lock.
#pragma once

#include <cstdint>
#include <string_view>

#include "bus/device.h"
#include "bus/irq.h"
#include "memory/io_handler.h"

namespace rhea::devices {

class X87Error final : public bus::Device, public memory::IoHandler {
 public:
  static constexpr uint64_t kIoSize = 2;
  struct Wiring {
    bus::IrqLine irq13;
  };
  explicit X87Error(Wiring wiring) : wiring_(wiring) {}

  void ferr() { drive(true); }

  std::string_view name() const override { return "x87-error"; }
  void reset(bus::ResetKind) override { drive(false); }
  void state(bus::StateVisitor& v) override {
    v.field("latched", latched_);
    if (v.loading()) wiring_.irq13.set(latched_);
  }
  uint64_t io_read(uint64_t, unsigned) override { return 0xff; }
  void io_write(uint64_t, unsigned, uint64_t) override { drive(false); }
  memory::IoTraits io_traits() const override { return {.min = 1, .max = 1}; }

 private:
  void drive(bool latched) {
    latched_ = latched;
    wiring_.irq13.set(latched);
  }

  Wiring wiring_;
  bool latched_ = false;
};

}  // namespace rhea::devices
