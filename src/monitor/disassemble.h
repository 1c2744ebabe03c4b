// Guest code as text in AT&T's syntax, as QEMU's `x/i` shows it.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "cpu/state.h"

namespace rhea::monitor {

struct Line {
  std::string text;  // "addb     %al, (%eax)"
  unsigned bytes;
};

// The instruction at the front of `code`, which is at `address`, in the mode that `s` is in. What is none
// counts as one byte.
Line disassemble(const cpu::CpuState& s, uint64_t address, std::span<const uint8_t> code);

}  // namespace rhea::monitor
