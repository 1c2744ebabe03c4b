// The high precision event timer: a 64-bit counter at 100 MHz and three comparators, all periodic capable,
// with legacy replacement routing.
//
// IA-PC HPET Specification 1.0a: 2.3 registers, 2.4 operation. FSB delivery is offered. As an IrqSink it
// stands between the 8254 and the clock and their interrupts: pins kFromPit and kFromRtc are passed on unless
// legacy replacement has taken their place. Caller holds the machine lock.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>

#include "async/clock.h"
#include "bus/device.h"
#include "bus/irq.h"
#include "devices/timer/tick_pacer.h"
#include "memory/io_handler.h"

namespace rhea::devices {

class Hpet final : public bus::Device, public memory::IoHandler, public bus::IrqSink {
 public:
  struct Wiring {
    async::Clock& clock;          // virtual
    bus::IrqSink* gsi = nullptr;  // I/O APIC inputs 0..23; 2 and 8 are also those of the legacy interrupts
    bus::IrqLine irq0, irq8;      // the legacy interrupts, for the 8259s and the I/O APIC
    std::function<void(uint64_t address, uint32_t data)> message;  // front-side-bus delivery
    TickPacer* pacer = nullptr;
    uint32_t routes = 0x00ff0104;  // I/O APIC inputs that timers may be routed to: 2, 8, 16..23
  };
  explicit Hpet(Wiring wiring);

  static constexpr uint64_t kIoSize = 0x400;
  static constexpr unsigned kTimers = 3;
  static constexpr unsigned kFromPit = 0, kFromRtc = 1;
  static constexpr uint64_t kPeriodFs = 10'000'000;
  // The event timer block id for the ACPI table.
  static constexpr uint32_t kBlockId = 0x8086a201;

  bool legacy() const;  // its timers 0 and 1 take the place of the 8254 and the clock

  std::string_view name() const override { return "hpet"; }
  void reset(bus::ResetKind kind) override;
  void state(bus::StateVisitor& v) override;
  uint64_t io_read(uint64_t offset, unsigned size) override;
  void io_write(uint64_t offset, unsigned size, uint64_t value) override;
  memory::IoTraits io_traits() const override { return {.min = 4, .max = 8}; }
  void set_irq(unsigned pin, bool level) override;

 private:
  struct Comparator {
    uint64_t config = 0, compare = 0, period = 0, fsb = 0;
    uint64_t due = 0;  // counter value at which it fires next
    bool armed = false;
    bool high_next = false;  // the low half was set through the set-value bit; the high half may follow
    std::unique_ptr<async::Timer> timer;
  };

  uint64_t counter_at(int64_t ns) const;
  uint64_t counter() const;
  uint64_t shown() const;
  uint64_t read_register(uint64_t at) const;
  void write_register(uint64_t at, uint64_t value, uint64_t mask);
  void write_config(uint64_t value);
  void write_timer(unsigned n, uint64_t reg, uint64_t value, uint64_t mask);
  void write_comparator(unsigned n, uint64_t value, uint64_t mask);
  void arm(unsigned n);
  void set_timer(unsigned n);
  void skip_past(unsigned n);
  void fire(unsigned n);
  void tell_pacer();
  void drive(unsigned n, bool level);
  bool is_tick(unsigned n) const;
  bool narrow(unsigned n) const;

  Wiring wiring_;
  std::array<Comparator, kTimers> timers_;
  uint64_t config_ = 0, status_ = 0;
  uint64_t held_ = 0;       // the counter while it is stopped
  int64_t started_ns_ = 0;  // the time at which a running counter was zero, less held_
  bool pit_ = false, rtc_ = false;
};

}  // namespace rhea::devices
