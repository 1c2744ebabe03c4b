// The table of instruction forms: what may be copied, what is rewritten, what a helper runs. Deny by default: a form
// that is not in the table is #UD. docs/cpu-conformance.md is generated from it.
#pragma once

#include <cstdint>

#include "cpu/core.h"
#include "cpu/cpuid.h"
#include "engine/dbt/insn.h"

namespace rhea::dbt {

enum class Action : uint8_t {
  Undefined,  // #UD
  Copy,       // the same opcode with registers and memory operand re-spliced; touches exactly Insn::mem.bytes
  Nop,        // no effect (prefetches, ENDBR, multi-byte NOP): nothing is emitted
  Rewrite,    // the emitter has its own lowering for it (near control flow, push/pop, LEA …)
  Help,       // a helper runs it, then the block goes on; the helper touches general registers only
  HelpFull,   // the same, in ordinary C++ with the guest's vector and x87 state in CpuState::xsave
  HelpEnd,    // a helper (general registers only) runs it and the block ends: control flow or mode may have changed
};

enum class Outcome : uint32_t {
  Continue,   // done; go on with the next instruction
  Fault,      // Core::fault holds it; s.rip is the instruction's, registers are as before it
  Jump,       // s.rip has been set
  Exit,       // leave run(): Core::pending or s.halted say why; s.rip has been set
};

// s.rip is the address of this instruction; gpr[] and the flags are the guest's. For string instructions that stop in the
// middle: registers hold the progress, return Jump with s.rip unchanged.
using Helper = Outcome (*)(cpu::Core&, const Insn&);

// Operand pattern a row applies to; rows of one mnemonic are tried in order.
enum class Pattern : uint8_t { Any, Reg, Mem, MemRegIndex, Cr, Dr, SegTo, SegFrom, Mode64, ModeLegacy, Rep, NoRep };

// What state the instruction needs before anything else is looked at (block-key facts decide #UD/#NM at translation).
enum class Unit : uint8_t { Integer, X87, Mmx, Sse, Avx, Avx512 };

struct Form {
  uint16_t mnemonic;
  Pattern pattern;
  Action action;
  Unit unit;
  uint16_t feature;      // cpu::Feature as number; kNoFeature: always there
  Helper helper;         // Help*, else null
  bool reads_flags;      // helper needs s.status_flags
  bool writes_flags;     // helper changes s.status_flags
};
inline constexpr uint16_t kNoFeature = 0xffff;

// Never null: an Undefined form when nothing matches.
const Form* find_form(const Insn& insn);

// For helpers: offset of the memory operand within its segment (address-size wrapped).
uint64_t effective_offset(const cpu::Core& c, const Insn& insn);

}  // namespace rhea::dbt
