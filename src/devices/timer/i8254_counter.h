// One of the three counters of an 8254, computed from the time on demand: nothing happens between accesses.
//
// Intel 231164-005: mode definitions, read operations. Time is in ticks of the counter's clock. Differs: a
// count written to a running mode 3 counter is loaded at the end of the whole period, not of the half.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "bus/device.h"

namespace rhea::devices {

class I8254Counter {
 public:
  // The control word's bits for this counter: access, mode, BCD. Counting stops until a count is written.
  void control(uint8_t word, uint64_t now);
  void latch_count(uint64_t now);
  void latch_status(uint64_t now);
  void write(uint8_t value, uint64_t now);
  uint8_t read(uint64_t now);
  void set_gate(bool level, uint64_t now);
  bool gate() const { return gate_; }
  bool output(uint64_t now);
  // The next tick after now at which the output rises by itself, if it will.
  std::optional<uint64_t> next_rise(uint64_t now);
  bool periodic() const { return mode_ == 2 || mode_ == 3; }
  uint64_t period() const { return count_; }

  void visit(bus::StateVisitor& v, std::string_view name);

 private:
  enum Access : uint8_t { kLow = 1, kHigh = 2, kBoth = 3 };

  uint64_t base() const { return bcd_ ? 10000 : 0x10000; }
  uint64_t elapsed(uint64_t now) const { return running_ ? now - start_ : frozen_; }
  void settle(uint64_t now);
  void start(uint64_t now);
  void count_written(uint64_t now);
  uint16_t value(uint64_t now);

  uint64_t start_ = 0;   // tick at which counting began
  uint64_t frozen_ = 0;  // ticks counted so far while the gate holds counting
  uint64_t count_ = 0x10000;
  uint64_t next_count_ = 0x10000;
  uint16_t latched_ = 0;
  uint8_t access_ = kBoth, mode_ = 3, written_low_ = 0, latched_bytes_ = 0, status_ = 0;
  bool bcd_ = false, gate_ = true, running_ = false, loaded_ = false;
  bool null_count_ = true, reload_ = false, triggered_ = false;
  bool write_high_next_ = false, read_high_next_ = false, status_latched_ = false;
};

}  // namespace rhea::devices
