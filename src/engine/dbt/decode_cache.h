// Decoding from memory: what Zydis says about an instruction depends on its prefixes, opcode, ModRM and SIB
// alone, while displacement and immediate only bring their values. So the result is kept by those first
// bytes, and an instruction that differs in nothing else is a copy with the values put in. Zydis takes some
// 150 ns for an instruction, this 15. What does not fit the scheme (EVEX, XOP, 3DNow!, registers in an
// immediate, far pointers, absolute addresses, an unusual number of prefixes, the last bytes of a page) is
// decoded anew each time.
//
// Threading: one thread at a time.
#pragma once

#include <array>
#include <vector>

#include "engine/dbt/decode.h"

namespace rhea::dbt {

class DecodeCache {
 public:
  DecodeCache() : entries_(kEntries), insns_(kEntries) {}

  // As decode() does.
  DecodeStatus decode(const uint8_t* bytes, size_t available, unsigned code_bits, unsigned page_offset,
                      Insn& out);

 private:
  static constexpr unsigned kBits = 12, kEntries = 1u << kBits;
  // What the way to the next instruction needs: apart, so that only copies wait for the rest of the memory.
  struct Entry {
    uint64_t key = 0;
    uint8_t code_bits = 0;  // 0: empty
    uint8_t length = 0;
    uint8_t disp_offset = 0, disp_bytes = 0;
    uint8_t imm_offset = 0, imm_bytes = 0;
    bool imm_signed = false;
    bool shift = false;  // by the immediate, which may be 0: then no flag is written
  };

  DecodeStatus learn(size_t at, uint64_t key, const uint8_t* bytes, size_t available, unsigned code_bits,
                     unsigned page_offset, Insn& out);

  std::vector<Entry> entries_;
  std::vector<Insn> insns_;
};

}  // namespace rhea::dbt
