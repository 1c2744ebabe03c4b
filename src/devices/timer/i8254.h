// The 8254 interval timer of a PC and the port beside it that opens counter 2's gate and the speaker. Handler
// offsets: 0..3 the timer (ports 0x40..0x43), 4 the system control port B (0x61).
//
// Intel 231164-005 (8254); 290550-002 (PIIX3) 2.5.5.1 for port 0x61. Missing: parity and channel
// check. Caller holds the machine lock.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>

#include "async/clock.h"
#include "bus/device.h"
#include "bus/irq.h"
#include "devices/timer/i8254_counter.h"
#include "devices/timer/tick_pacer.h"
#include "memory/io_handler.h"

namespace rhea::devices {

class I8254 final : public bus::Device, public memory::IoHandler {
 public:
  struct Wiring {
    async::Clock& clock;  // virtual
    bus::IrqLine irq0;
    // The period of the square wave at the speaker, in ticks; 0: none.
    std::function<void(uint64_t period)> speaker = {};
    TickPacer* pacer = nullptr;
  };
  explicit I8254(const Wiring& wiring);

  static constexpr uint64_t kHz = 1193182;
  static constexpr uint64_t kCounters = 0, kPortB = 4;

  std::string_view name() const override { return "i8254"; }
  void reset(bus::ResetKind kind) override;
  void state(bus::StateVisitor& v) override;
  uint64_t io_read(uint64_t offset, unsigned size) override;
  void io_write(uint64_t offset, unsigned size, uint64_t value) override;
  memory::IoTraits io_traits() const override { return {.min = 1, .max = 1}; }

 private:
  uint64_t now() const;
  uint64_t time_of_counter(unsigned counter) const;
  uint8_t read_port_b();
  void control(uint8_t word);
  void rose();
  void schedule(uint64_t from);
  void changed();
  void tell_speaker();

  Wiring wiring_;
  std::array<I8254Counter, 3> counters_;
  std::unique_ptr<async::Timer> timer_;
  uint64_t expected_ = 0;  // the rise that timer_ waits for, in ticks
  uint8_t port_b_ = 0;
};

}  // namespace rhea::devices
