// The table of instruction forms: what may be copied, what is rewritten, what a helper runs. Deny by default:
// a form that is not in the table is #UD. docs/cpu-conformance.md is generated from it.
#pragma once

#include <cstdint>
#include <span>

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
  HelpEnd,    // a helper (general registers only) runs it and the block ends: control flow or mode may have
              // changed
};

enum class Outcome : uint32_t {
  Continue,  // done; go on with the next instruction (HelpEnd: s.rip is still this instruction's; the caller
             // adds the length)
  Fault,     // Core::fault holds it; s.rip is the instruction's, registers are as before it
  Jump,      // s.rip has been set
  Exit,      // leave run(): Core::pending or s.halted say why; s.rip has been set
};

// s.rip is the address of this instruction; gpr[] and the flags are the guest's. String instructions that
// stop in the middle leave their progress in the registers and return Jump with s.rip unchanged.
using Helper = Outcome (*)(cpu::Core&, const Insn&);

// Operand pattern a row applies to; rows of one mnemonic are tried in order.
enum class Pattern : uint8_t {
  Any,
  Reg,  // no memory operand
  Mem,
  MemRegIndex,  // BT family with a memory operand and a register index
  MemMasked,    // EVEX with a memory operand and a mask register other than k0
  CrTo,
  CrFrom,
  DrTo,
  DrFrom,
  SegTo,
  SegFrom,
  Far,    // CALL, JMP, RET between segments
  Moffs,  // MOV A0-A3
  Mode64,
  ModeLegacy,
  Rep,
  NoRep,
};

// What state the instruction needs before anything else is looked at (block-key facts decide #UD/#NM at
// translation). VEX, EVEX and XOP encodings also need protected mode (#UD in real and virtual-8086 mode),
// whatever their unit.
enum class Unit : uint8_t {
  Integer,
  X87,     // #NM: CR0.EM or TS
  Fwait,   // #NM: CR0.MP and TS
  Mmx,     // #UD: CR0.EM; #NM: TS
  Sse,     // #UD: CR0.EM or not CR4.OSFXSR; #NM: TS
  Avx,     // #UD: not CR4.OSXSAVE, XCR0[2:1] != 3; #NM: TS
  Avx512,  // #UD: not CR4.OSXSAVE, XCR0[7:5,2:1] not all set; #NM: TS
};

struct Form {
  uint16_t mnemonic;  // ZydisMnemonic
  uint16_t isa_set;   // ZydisISASet
  Pattern pattern;
  Action action;
  Unit unit;
  bool reads_flags;            // helper needs s.status_flags
  bool writes_flags;           // helper changes s.status_flags
  bool older_without_feature;  // LZCNT, TZCNT: without the feature it is BSR, BSF (drop the F3), not #UD
  uint16_t feature, feature2;  // cpu::Feature, or kNoFeature
  const char* helper_name;
  Helper helper;  // Help*, else null
  bool whole_or_careful =
      false;  // masked memory forms: copied where the whole extent is accessible, else helped
};

inline constexpr uint16_t kNoFeature = 0xffff;

// Never null: an Undefined form when nothing matches. Needs Insn::mnemonic, isa_set, encoding, map, opcode,
// has_modrm, modrm, has_mem, code_bits, rep, repne and raw/length.
const Form* find_form(const Insn& insn);

// #UD when false: the CPU model does not have what the form needs. (Forms with older_without_feature: see
// there.)
bool form_available(const Form& form, const cpu::CpuidTable& cpuid);

std::span<const Form> all_forms();

// EVEX prefix bytes P0..P2 within raw; null for other encodings.
const uint8_t* evex_payload(const Insn& insn);

// For helpers: offset of the memory operand within its segment (address-size wrapped).
uint64_t effective_offset(const cpu::Core& c, const Insn& insn);

}  // namespace rhea::dbt
