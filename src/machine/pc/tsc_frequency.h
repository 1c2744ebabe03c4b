// The rate of the host's time-stamp counter.
#pragma once

#include <cstdint>

namespace rhea::machine {

// From CPUID where it says so, else measured: over a millisecond at least, from begin_tsc_measurement() on
// or, when that was not called, from now on.
uint64_t host_tsc_hz();
// Early, so that nobody has to wait for the measurement. Main thread.
void begin_tsc_measurement();

}  // namespace rhea::machine
