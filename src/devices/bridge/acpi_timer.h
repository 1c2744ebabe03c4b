// The ACPI power management timer: 3.579545 MHz, 24 bits, an event whenever bit 23 changes.
//
// ACPI 6.4, 4.8.2.1 and 4.8.3.3. Caller holds the machine lock.
#pragma once

#include <cstdint>

namespace rhea::devices::acpi_timer {

inline constexpr uint64_t kHz = 3579545;
inline constexpr uint64_t kMask = 0xffffff;
inline constexpr uint64_t kHalf = 0x800000;

constexpr uint64_t ticks_at(int64_t ns) {
  const auto wide = static_cast<unsigned __int128>(ns < 0 ? 0 : ns) * kHz / 1'000'000'000u;
  return static_cast<uint64_t>(wide);
}

// The first time at which ticks_at() is at least ticks.
constexpr int64_t time_of(uint64_t ticks) {
  const auto wide = (static_cast<unsigned __int128>(ticks) * 1'000'000'000u + kHz - 1) / kHz;
  return static_cast<int64_t>(static_cast<uint64_t>(wide));
}

}  // namespace rhea::devices::acpi_timer
