// The real-time clock and CMOS memory of a PC: an MC146818 with 256 bytes. Handler offsets 0..3 are ports
// 0x70..0x73: index and data of the first 128 bytes, then of all 256. Bit 7 of port 0x70 masks NMIs.
//
// Motorola MC146818 data sheet (1984): registers A..D, update cycle, periodic and alarm interrupts;
// 290550-002 (PIIX3) 2.5.4 for the ports. The century byte is at 0x32, as PC firmware has it. Missing:
// daylight saving, square wave output. Caller holds the machine lock.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>

#include "async/clock.h"
#include "bus/device.h"
#include "bus/irq.h"
#include "memory/io_handler.h"

namespace rhea::devices {

class Mc146818 final : public bus::Device, public memory::IoHandler {
 public:
  struct Wiring {
    async::Clock& clock;  // time runs with it: the host's or the virtual machine's
    bus::IrqLine irq8;
    int64_t base_ns = 0;  // what the clock shows at power-on, in nanoseconds since 1970
    std::function<void(bool masked)> nmi_mask;
    bool slew = false;  // periodic interrupts that the guest was late for are made up for, up to a minute
  };
  explicit Mc146818(Wiring wiring);

  std::string_view name() const override { return "mc146818rtc"; }
  void reset(bus::ResetKind kind) override;
  void state(bus::StateVisitor& v) override;
  uint64_t io_read(uint64_t offset, unsigned size) override;
  void io_write(uint64_t offset, unsigned size, uint64_t value) override;
  memory::IoTraits io_traits() const override { return {.min = 1, .max = 1}; }

  // The board leaves memory sizes, boot order and the like here. Not for the time and control registers.
  void set_cmos(uint8_t index, uint8_t value) { ram_[index] = value; }
  uint8_t cmos(uint8_t index) const { return ram_[index]; }
  // The time shown now, in seconds since 1970.
  int64_t seconds() const;

 private:
  uint8_t read(uint8_t index);
  void write(uint8_t index, uint8_t value);
  void write_time(uint8_t index, uint8_t value);
  void write_a(uint8_t value);
  void write_b(uint8_t value);
  uint8_t time_byte(uint8_t index) const;
  uint8_t encode(unsigned value) const;
  unsigned decode(uint8_t value) const;
  uint8_t encode_hour(unsigned hour) const;
  unsigned decode_hour(uint8_t value) const;
  bool running() const;
  bool updating() const;
  bool alarm_matches(int64_t at) const;
  int64_t shown_ns() const;
  void freeze();
  void thaw();
  int64_t periodic_ns() const;
  void catch_up();
  void schedule();
  void drive();

  Wiring wiring_;
  std::unique_ptr<async::Timer> timer_;
  std::array<uint8_t, 256> ram_{};
  int64_t offset_ns_ = 0;    // shown time minus the clock's
  int64_t seen_second_ = 0;  // updates accounted for
  int64_t seen_period_ = 0;  // periodic ticks accounted for
  int64_t frozen_ns_ = 0;    // shown time while the clock is set or held
  uint8_t index_ = 0, index_high_ = 0;
};

}  // namespace rhea::devices
