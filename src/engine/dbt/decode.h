// Guest bytes to Insn, by Zydis' decoder. Forms are looked up here too.
#pragma once

#include <cstddef>
#include <cstdint>

#include "engine/dbt/insn.h"

namespace rhea::dbt {

enum class DecodeStatus : uint8_t {
  Ok,
  NeedMore,  // the bytes given end inside the instruction
  TooLong,   // more than 15 bytes: #GP(0)
  Invalid,   // #UD
};

// code_bits: 16, 32 or 64. page_offset is noted in the result.
DecodeStatus decode(const uint8_t* bytes, size_t available, unsigned code_bits, unsigned page_offset,
                    Insn& out);

}  // namespace rhea::dbt
