// Copied instructions: the guest's own opcode with its registers and memory operand replaced. Intel SDM vol.
// 2, 2.1-2.7.
#include <Zydis/Zydis.h>

#include "engine/dbt/emitter.h"
#include "engine/dbt/forms.h"

namespace rhea::dbt {

namespace {

// The scratch registers that the memory operand leaves free.
struct Scratch {
  Host free[3];
  unsigned next = 0;
  explicit Scratch(const HostMem* mem) {
    bool t0 = mem != nullptr && mem->base == kT0, t1 = mem != nullptr && mem->index == kT1;
    unsigned n = 0;
    free[n++] = kT2;
    if (!t1) free[n++] = kT1;
    if (!t0) free[n++] = kT0;
  }
  Host take() { return free[next++]; }
};

// Guest registers of the explicit operands and where they are while the instruction runs.
struct Bindings {
  int8_t guest[3] = {kNoReg, kNoReg, kNoReg};
  uint8_t host[3] = {};
  unsigned count = 0;
};

uint8_t bind_gpr(Bindings& b, Scratch& scratch, int8_t guest) {
  uint8_t h = host_of(guest);
  if (h != kNone) return h;
  for (unsigned n = 0; n < b.count; ++n) {
    if (b.guest[n] == guest) return b.host[n];
  }
  b.guest[b.count] = guest;
  return b.host[b.count++] = scratch.take();
}

}  // namespace

void Emitter::fault_point(const Insn& i, uint8_t* begin) {
  faults_.push_back({static_cast<uint32_t>(begin - block_.start), i.page_offset, !flags_.host});
}

void Emitter::copy(const Insn& i, uint16_t live_after) {
  bool reads = (i.flags_read & kStatusMask) != 0;
  bool needs_flags = reads || (i.flags_touched && (live_after & ~i.flags_written & kStatusMask) != 0);
  if (!i.has_mem || i.mem.bytes == 0) {
    if (needs_flags) flags_to_host();
    operation(i, nullptr);
  } else {
    MemOp op{.kind = MemOp::Kind::Copy, .insn = &i, .must_fill = i.form->whole_or_careful};
    auto live_before = static_cast<uint16_t>(((live_after & ~i.flags_written) | i.flags_read) & kStatusMask);
    op.keep_flags = live_before;
    op.needs_flags = needs_flags;
    access(i, i.mem, i.addr_bytes, i.mem.bytes, i.mem.write, i.mem.read, op, plan_.mem);
  }
  if (i.flags_touched) flags_written();
}

void Emitter::operation(const Insn& i, const HostMem* mem) {
  fault_point(i, a_.here());
  Scratch scratch(mem);
  Bindings bound;
  uint8_t reg = 0, rm = 0, vvvv = 0;
  constexpr uint8_t kRm = gpr_field::kModrmRm | gpr_field::kOpcode;
  if ((i.high_fields & gpr_field::kModrmReg) != 0)
    reg = static_cast<uint8_t>(i.reg + 4);
  else if ((i.gpr_fields & gpr_field::kModrmReg) != 0)
    reg = bind_gpr(bound, scratch, i.reg);
  if ((i.high_fields & kRm) != 0)
    rm = static_cast<uint8_t>(i.rm + 4);
  else if ((i.gpr_fields & kRm) != 0)
    rm = bind_gpr(bound, scratch, i.rm);
  if ((i.gpr_fields & gpr_field::kVvvv) != 0) vvvv = bind_gpr(bound, scratch, i.vvvv);
  for (unsigned n = 0; n < bound.count; ++n) {
    if ((i.regs_read >> bound.guest[n] & 1) != 0)
      a_.load(static_cast<Host>(bound.host[n]), gpr_slot(bound.guest[n]));
  }
  if (i.high_byte && mem != nullptr) {
    // AH..BH cannot be named next to an extended register: lend the instruction rsi as its base.
    a_.lea(kT0, *mem);
    a_.mov(kT2, hRSI);
    a_.mov(hRSI, kT0);
    HostMem plain{.base = hRSI};
    fault_point(i, a_.here());
    faults_.back().rsi_in_t2 = true;
    splice(i, reg, rm, vvvv, &plain);
    a_.mov(hRSI, kT2);
  } else if (i.high_byte && (i.gpr_fields & gpr_field::kModrmReg) != 0 && reg >= 8 && i.gpr_bytes_reg > 1) {
    a_.mov(kT2, hRSI);                                                          // MOVZX/MOVSX esp, AH
    if ((i.regs_read >> i.reg & 1) != 0) a_.mov(hRSI, static_cast<Host>(reg));  // CRC32 esp, AH
    splice(i, hRSI, rm, vvvv, nullptr);
    a_.mov(static_cast<Host>(kT1), hRSI);
    a_.mov(hRSI, kT2);
    write_gpr(i.reg, kT1, i.gpr_bytes_reg);
  } else {
    splice(i, reg, rm, vvvv, mem);
  }
  for (unsigned n = 0; n < bound.count; ++n) {
    if ((i.regs_written >> bound.guest[n] & 1) != 0)
      a_.store(gpr_slot(bound.guest[n]), static_cast<Host>(bound.host[n]));
  }
}

namespace {

// Outside 64-bit mode VEX.W and EVEX.W do not widen general-purpose operands (SDM vol. 2A 2.3.5.5): in ours
// they would.
bool ignores_w(const Insn& i) {
  if (i.code_bits == 64) return false;
  if (i.gpr_fields != 0) return true;
  switch (i.mnemonic) {
    case ZYDIS_MNEMONIC_VPCMPESTRI:
    case ZYDIS_MNEMONIC_VPCMPESTRM:
    case ZYDIS_MNEMONIC_VCVTSI2SS:
    case ZYDIS_MNEMONIC_VCVTSI2SD:
    case ZYDIS_MNEMONIC_VCVTUSI2SS:
    case ZYDIS_MNEMONIC_VCVTUSI2SD:
    case ZYDIS_MNEMONIC_VMOVD:
    case ZYDIS_MNEMONIC_VPINSRD:
    case ZYDIS_MNEMONIC_VPEXTRD: return true;
    default: return false;
  }
}

// No operand-size form: with 66 these are something else or #UD.
bool refuses_66(const Insn& i) {
  bool fence_or_mxcsr = i.map == 1 && i.opcode == 0xae;
  return fence_or_mxcsr || i.mnemonic == ZYDIS_MNEMONIC_MOVNTI || i.mnemonic == ZYDIS_MNEMONIC_CMPXCHG8B;
}

// The register in an immediate has three bits outside 64-bit mode.
bool register_in_immediate(const Insn& i) {
  return i.code_bits != 64 && i.encoding == Encoding::Vex && i.map == 3 && i.opcode >= 0x4a &&
         i.opcode <= 0x4c;
}

}  // namespace

void Emitter::splice(const Insn& i, uint8_t reg, uint8_t rm, uint8_t vvvv, const HostMem* mem) {
  switch (i.encoding) {
    case Encoding::Vex: splice_vex(i, reg, rm, vvvv, mem); break;
    case Encoding::Evex: splice_evex(i, reg, rm, vvvv, mem); break;
    default: splice_legacy(i, reg, rm, mem); break;
  }
  if (register_in_immediate(i))
    a_.u8(i.raw[i.imm_offset] & 0x7fu);
  else
    a_.bytes(i.raw + i.imm_offset, i.imm_bytes);
}

void Emitter::splice_legacy(const Insn& i, uint8_t reg, uint8_t rm, const HostMem* mem) {
  bool reg_gpr = (i.gpr_fields & gpr_field::kModrmReg) != 0;
  bool rm_gpr = (i.gpr_fields & gpr_field::kModrmRm) != 0;
  bool opcode_gpr = (i.gpr_fields & gpr_field::kOpcode) != 0;
  unsigned r = reg_gpr ? reg : i.reg >= 0 && i.has_modrm ? static_cast<unsigned>(i.reg) : i.modrm >> 3 & 7u;
  unsigned m = rm_gpr || opcode_gpr ? rm : i.rm >= 0 ? static_cast<unsigned>(i.rm) : i.modrm & 7u;
  if (i.high_byte) {  // the encodings 4-7 of a byte register without REX
    if (reg_gpr && i.gpr_bytes_reg == 1 && (i.modrm >> 3 & 4) != 0) r |= 4;
    if (rm_gpr && i.gpr_bytes_rm == 1 && (i.modrm & 4) != 0) m |= 4;
    if (opcode_gpr && i.gpr_bytes_rm == 1 && (i.opcode & 4) != 0) m |= 4;
  }
  unsigned opcode = i.opcode;
  bool moffs = i.map == 0 && opcode >= 0xa0 && opcode <= 0xa3;
  bool short_inc = i.code_bits != 64 && i.map == 0 && opcode >= 0x40 && opcode <= 0x4f;
  if (i.map == 0 && opcode == 0x82) opcode = 0x80;
  if (moffs) opcode = (opcode & 1) | (opcode >= 0xa2 ? 0x88 : 0x8a), r = 0;
  if (i.lock) a_.u8(0xf0);
  bool size66 = i.code_bits == 16 ? i.op_bytes == 2 && i.form->unit == Unit::Integer && !refuses_66(i)
                                  : i.operand_override;
  if (size66 || i.mandatory == 0x66) a_.u8(0x66);
  if (i.mandatory == 0xf2 || i.mandatory == 0xf3) a_.u8(i.mandatory);
  unsigned rex = i.rex_w != 0 ? 0x48u : 0x40u;
  bool modrm = i.has_modrm || moffs || short_inc;
  if (modrm && !short_inc && (r & 8) != 0) rex |= 4;
  if (mem != nullptr) {
    if (mem->index != kNone && (mem->index & 8) != 0) rex |= 2;
    if (mem->base != kNone && (mem->base & 8) != 0) rex |= 1;
  } else if ((m & 8) != 0 && (rm_gpr || opcode_gpr || i.has_modrm)) {
    rex |= 1;
  }
  if (rex != 0x40 || i.has_rex) a_.u8(rex);
  if (i.map >= 1) a_.u8(0x0f);
  if (i.map == 2) a_.u8(0x38);
  if (i.map == 3) a_.u8(0x3a);
  if (short_inc) {
    a_.u8(0xff);
    a_.u8(0xc0 | (opcode >= 0x48 ? 1u : 0u) << 3 | (m & 7));
    return;
  }
  if (opcode_gpr) opcode = (opcode & ~7u) | (m & 7);
  a_.u8(opcode);
  if (!modrm) return;
  if (mem != nullptr)
    a_.modrm(r, *mem);
  else if (i.modrm >= 0xc0)
    a_.u8(0xc0 | (r & 7) << 3 | (m & 7));
  else
    a_.modrm(r, HostMem{.base = hRAX});  // a memory form that touches nothing
}

void Emitter::splice_vex(const Insn& i, uint8_t reg, uint8_t rm, uint8_t vvvv, const HostMem* mem) {
  const uint8_t* p = i.raw;
  while (*p != 0xc4 && *p != 0xc5) ++p;
  unsigned last = *p == 0xc5 ? (p[1] & 0x7fu) : p[2];  // W vvvv L pp; two-byte form: W is 0
  if (ignores_w(i)) last &= 0x7fu;
  unsigned r = (i.gpr_fields & gpr_field::kModrmReg) != 0 ? reg
               : i.reg >= 0                               ? static_cast<unsigned>(i.reg)
                                                          : i.modrm >> 3 & 7u;
  unsigned m = (i.gpr_fields & gpr_field::kModrmRm) != 0 ? rm
               : i.rm >= 0                               ? static_cast<unsigned>(i.rm)
                                                         : i.modrm & 7u;
  if ((i.gpr_fields & gpr_field::kVvvv) != 0)
    last = (last & ~0x78u) | ((~static_cast<unsigned>(vvvv) & 15) << 3);
  unsigned x = mem != nullptr && mem->index != kNone ? mem->index & 8u : 0;
  unsigned b = mem != nullptr ? (mem->base != kNone ? mem->base & 8u : 0) : m & 8u;
  a_.u8(0xc4);
  a_.u8(((r & 8) == 0 ? 0x80u : 0) | (x == 0 ? 0x40u : 0) | (b == 0 ? 0x20u : 0) | i.map);
  a_.u8(last);
  a_.u8(i.opcode);
  if (!i.has_modrm) return;  // VZEROUPPER
  if (mem != nullptr)
    a_.modrm(r, *mem);
  else
    a_.u8(0xc0 | (r & 7) << 3 | (m & 7));
}

void Emitter::splice_evex(const Insn& i, uint8_t reg, uint8_t rm, uint8_t vvvv, const HostMem* mem) {
  const uint8_t* p = i.raw;
  while (*p != 0x62) ++p;
  unsigned p0 = p[1], p1 = p[2], p2 = p[3];
  if (ignores_w(i)) p1 &= 0x7fu;
  unsigned r = i.modrm >> 3 & 7u, m = i.modrm & 7u;
  if ((i.gpr_fields & gpr_field::kModrmReg) != 0) {
    r = reg;
    p0 = (p0 & ~0x90u) | 0x10 | ((r & 8) == 0 ? 0x80u : 0);
  }
  if ((i.gpr_fields & gpr_field::kVvvv) != 0) {
    p1 = (p1 & ~0x78u) | ((~static_cast<unsigned>(vvvv) & 15) << 3);
    p2 |= 8;
  }
  if (mem != nullptr) {
    unsigned x = mem->index != kNone ? mem->index & 8u : 0, b = mem->base != kNone ? mem->base & 8u : 0;
    p0 = (p0 & ~0x60u) | (x == 0 ? 0x40u : 0) | (b == 0 ? 0x20u : 0);
  } else if ((i.gpr_fields & gpr_field::kModrmRm) != 0) {
    m = rm;
    p0 = (p0 & ~0x60u) | 0x40 | ((m & 8) == 0 ? 0x20u : 0);
  }
  a_.u8(0x62);
  a_.u8(p0);
  a_.u8(p1);
  a_.u8(p2);
  a_.u8(i.opcode);
  if (mem != nullptr)
    a_.modrm(r, *mem, false);
  else
    a_.u8(0xc0 | (r & 7) << 3 | (m & 7));
}

}  // namespace rhea::dbt
