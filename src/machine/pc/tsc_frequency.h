// The rate of the host's time-stamp counter.
#pragma once

#include <cstdint>

namespace rhea::machine {

// From CPUID where it says so, else measured for a millisecond.
uint64_t host_tsc_hz();

}  // namespace rhea::machine
