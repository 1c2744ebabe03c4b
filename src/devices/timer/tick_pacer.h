// Keeps a guest's time-stamp counter and the periodic interrupts that it counts time with together while the
// host gives neither the guest nor the emulator enough of its processors.
//
// A guest waits for a number of ticks, so long by the TSC at most (Linux does, and panics when they do not
// come). The TSC is the host's and goes on when nobody runs; ticks only come when the emulator does, and two
// that come while the guest does not run are one. So a tick waits until the guest could take the one before,
// and the TSC waits for a tick that is late.
//
// Threading: called with the machine lock held.
#pragma once

#include <cstdint>

namespace rhea::devices {

class TickPacer {
 public:
  enum class Source : uint8_t { Pit, Hpet };
  static constexpr int64_t kNever = INT64_MAX;

  virtual ~TickPacer() = default;
  // The next tick of this source is due at `deadline_ns` of the virtual clock, and they come every
  // `period_ns`; kNever: none is awaited.
  virtual void expect(Source source, int64_t deadline_ns, int64_t period_ns) = 0;
  // A tick has been raised.
  virtual void raised() = 0;
  // Whether the guest has had the time to take it.
  virtual bool taken() const = 0;
};

}  // namespace rhea::devices
