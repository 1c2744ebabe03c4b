// Writes to translated code that other vCPUs may be running.
#pragma once

#include <cstdint>

namespace rhea::dbt {

// SAFETY: one write, inside eight aligned bytes, which the emitter saw to. Not a std::atomic_ref, which asks
// for alignment to the size.
inline void patch_code(uint8_t* at, uint16_t value) {
  asm volatile("xchgw %0, %1" : "+r"(value), "+m"(*reinterpret_cast<uint8_t(*)[2]>(at)) : : "memory");
}
inline void patch_code(uint8_t* at, uint32_t value) {
  asm volatile("xchgl %0, %1" : "+r"(value), "+m"(*reinterpret_cast<uint8_t(*)[4]>(at)) : : "memory");
}

}  // namespace rhea::dbt
