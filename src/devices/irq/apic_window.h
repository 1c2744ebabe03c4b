// The range FEE00000H-FEEFFFFFH as devices see it: writes are message-signalled interrupts (SDM vol.
// 3A 11.11). A vCPU's accesses to its local APIC's page do not come here; see LocalApic::load().
#pragma once

#include "bus/apic_bus.h"
#include "memory/io_handler.h"

namespace rhea::devices {

class ApicWindow final : public memory::IoHandler {
 public:
  explicit ApicWindow(bus::ApicBus& apics) : apics_(apics) {}

  uint64_t io_read(uint64_t, unsigned) override { return ~uint64_t{0}; }
  void io_write(uint64_t offset, unsigned, uint64_t value) override {
    apics_.deliver(bus::decode_msi(bus::kMsiBase + offset, static_cast<uint32_t>(value)));
  }
  memory::IoTraits io_traits() const override {
    return {.min = 4, .max = 4, .locking = memory::Locking::None};
  }

 private:
  bus::ApicBus& apics_;
};

}  // namespace rhea::devices
