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

// Where the values are that the rest of the result does not depend on.
struct DecodeLayout {
  bool regular = false;  // false: something else depends on them or there is more than a displacement and an
                         // immediate
  uint8_t disp_offset = 0, disp_bytes = 0;
  bool imm_signed = false;
  bool shift = false;          // a shift or rotation whose flags depend on its count
  uint16_t flags_written = 0;  // if the count is an immediate: when it is not 0
};

// code_bits: 16, 32 or 64. page_offset is noted in the result.
DecodeStatus decode(const uint8_t* bytes, size_t available, unsigned code_bits, unsigned page_offset,
                    Insn& out, DecodeLayout* layout = nullptr);

}  // namespace rhea::dbt
