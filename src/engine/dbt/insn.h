// A decoded guest instruction: what every later stage (analyse, emit, helpers) needs of it, as plain data.
// Kept for the life of its block when a helper runs it.
#pragma once

#include <cstdint>

#include "cpu/state.h"

namespace rhea::dbt {

struct Form;

enum class Encoding : uint8_t { Legacy, ThreeDNow, Xop, Vex, Evex };

inline constexpr int8_t kNoReg = -1;
inline constexpr int8_t kRip = 16;

struct MemOperand {
  int64_t disp = 0;       // sign-extended; a moffs is here too
  int8_t base = kNoReg;   // guest GPR, kRip or kNoReg
  int8_t index = kNoReg;  // guest GPR (VSIB: vector register number)
  uint8_t scale = 0;      // log2
  uint8_t seg = cpu::DS;  // effective segment
  uint16_t bytes = 0;     // exact extent of the access; 0: not accessed (LEA, NOP, PREFETCH, INVLPG)
  bool read = false;
  bool write = false;
  bool vsib = false;
  bool aligned = false;  // #GP unless aligned to its size, before any page fault
  bool operator==(const MemOperand&) const = default;
};

// Which encoding fields of the instruction name a general-purpose register (and so are re-spliced).
namespace gpr_field {
inline constexpr uint8_t kModrmReg = 1, kModrmRm = 2, kVvvv = 4, kOpcode = 8;
}

struct Insn {
  uint8_t raw[16];
  uint8_t length;
  Encoding encoding;
  uint8_t map;  // 0: one byte, 1: 0F, 2: 0F38, 3: 0F3A …
  uint8_t opcode;
  uint16_t mnemonic;   // ZydisMnemonic
  uint16_t isa_set;    // ZydisISASet (ZydisDecodedInstruction::meta.isa_set)
  uint8_t op_bytes;    // effective operand size: 1, 2, 4, 8 (vector instructions: 4 or 8 by W)
  uint8_t addr_bytes;  // effective address size: 2, 4, 8
  uint8_t code_bits;   // 16, 32, 64

  bool lock, rep, repne;  // F0, F3, F2 present (F2/F3 not counted where mandatory)
  uint8_t mandatory;      // 0, 0x66, 0xf2, 0xf3
  bool operand_override;  // 66 acting as operand-size prefix
  bool has_modrm, has_sib, has_mem;
  uint8_t modrm, sib;
  uint8_t rex_w, rex_r, rex_x, rex_b;  // whatever the encoding; EVEX R' and V' stay in raw
  bool has_rex;
  int8_t reg, rm, vvvv;  // full register numbers (rm only when mod = 3), or of the opcode's low bits in rm
  uint8_t gpr_fields;    // gpr_field::*
  uint8_t high_fields;   // which of those are AH..BH (reg and rm hold 0..3 for them)
  uint8_t gpr_bytes_reg, gpr_bytes_rm;  // operand widths of those registers
  bool high_byte;                       // an explicit operand is AH, CH, DH or BH
  uint8_t imm_offset, imm_bytes;        // raw position of all immediates together (ENTER: 3 bytes)
  int64_t imm;    // first immediate, sign-extended when the instruction does so; relative branches: the
                  // displacement
  uint16_t imm2;  // ENTER's level, far pointer's selector
  MemOperand mem;

  uint16_t flags_read, flags_written,
      flags_undefined;               // RFLAGS status bits and DF; written = certainly written
  bool flags_touched;                // the host's status flags may be others after it
  uint16_t regs_read, regs_written;  // GPR masks (implicit ones included)

  uint16_t page_offset;  // of its first byte
  const Form* form;
  bool operator==(const Insn&) const = default;
};

}  // namespace rhea::dbt
