// Every encoding of every form of the table that a mode has, found by asking the decoder about all prefixes,
// opcodes and ModRM bytes: what the generator picks from, and what the coverage check compares with the
// table.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/dbt/forms.h"
#include "machine.h"

namespace rhea::differential {

struct Template {
  uint16_t mnemonic, isa_set;  // Zydis
  uint8_t encoding;            // ZydisInstructionEncoding
  uint8_t map, opcode;
  uint8_t mandatory;      // 0, 66, F2, F3 (legacy: the prefix; VEX, EVEX: pp)
  uint8_t second_prefix;  // legacy: 66 together with F2 or F3
  bool wide;              // REX.W, VEX.W, EVEX.W
  uint8_t length_bits;    // VEX.L, EVEX.L'L
  bool broadcast;         // EVEX.b
  bool masked;            // EVEX.aaa != 0
  bool has_modrm;
  bool memory;  // ModRM names memory
  int8_t reg;   // fixed ModRM.reg, or -1
  int8_t rm;    // fixed ModRM.rm of the register form, or -1
  const dbt::Form* form;
  uint16_t memory_bytes;  // of an example; 0: not accessed
  bool reads, writes;
  std::string name() const;
};

// bits 16, 32, 64.
std::vector<Template> make_catalogue(unsigned bits);

// The form that the table has for these bytes, as the translator's decoder would find it.
bool decode_example(const uint8_t* bytes, unsigned length, unsigned bits, dbt::Insn& out);
const dbt::Form* form_of(const uint8_t* bytes, unsigned length, unsigned bits);

}  // namespace rhea::differential
