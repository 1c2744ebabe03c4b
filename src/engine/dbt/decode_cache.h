// Decoding from memory: what Zydis says about an instruction depends on its prefixes, opcode, ModRM and SIB
// alone, while displacement and immediate only bring their values. So the result is kept by those first
// bytes, and an instruction that differs in nothing else is a copy with the values put in. Zydis takes some
// 150 ns for an instruction, this 15. What does not fit the scheme (EVEX, XOP, 3DNow!, registers in an
// immediate, far pointers, absolute addresses, an unusual number of prefixes, the last bytes of a page) is
// decoded anew each time.
//
// Threading: one thread at a time.
#pragma once

#include <cstdlib>
#include <memory>
#include <new>
#include <type_traits>

#include "engine/dbt/decode.h"

namespace rhea::dbt {

class DecodeCache {
 public:
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

  struct Free {
    void operator()(void* p) const { std::free(p); }
  };
  // Zeros (no entry) until used, so that short runs touch few of the pages.
  template <class T>
  static std::unique_ptr<T[], Free> zeros() {
    static_assert(std::is_trivially_copyable_v<T>);
    // SAFETY: implicit-lifetime objects in memory that calloc() gives.
    void* p = std::calloc(kEntries, sizeof(T));
    if (p == nullptr) throw std::bad_alloc();
    return std::unique_ptr<T[], Free>(static_cast<T*>(p));
  }
  std::unique_ptr<Entry[], Free> entries_ = zeros<Entry>();
  std::unique_ptr<Insn[], Free> insns_ = zeros<Insn>();
};

}  // namespace rhea::dbt
