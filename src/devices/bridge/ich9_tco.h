// The TCO watchdog of ICH9: a counter of 0.6 s ticks that software reloads; when it runs out the first time
// it sets a status bit (and may raise an SMI), the second time it resets the machine.
//
// Intel 316972-004 (ICH9): 13.9. Missing: intruder detection, message registers have no effect. Caller holds
// the machine lock.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "async/clock.h"
#include "bus/device.h"

namespace rhea::devices {

class Ich9Tco {
 public:
  struct Wiring {
    async::Clock& clock;                // virtual
    std::function<void()> first_time;   // TCO_EN may want an SMI
    std::function<void()> second_time;  // reboot, unless a strap forbids it
  };
  explicit Ich9Tco(Wiring wiring);

  static constexpr uint64_t kSize = 32;
  uint64_t read(uint64_t offset, unsigned size);
  void write(uint64_t offset, unsigned size, uint64_t value);
  void reset();
  void state(bus::StateVisitor& v);

 private:
  uint16_t left() const;
  void rearm();
  void expired();
  void write_byte(unsigned offset, uint8_t value);
  uint8_t read_byte(unsigned offset) const;
  bool halted() const;

  Wiring wiring_;
  std::unique_ptr<async::Timer> timer_;
  uint8_t bytes_[kSize] = {};
  int64_t deadline_ = 0;
  bool once_ = false;  // it has run out once
};

}  // namespace rhea::devices
