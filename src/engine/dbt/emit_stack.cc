// PUSH, POP, LEAVE and LEA, and the small pieces that other lowerings share.
#include <Zydis/Zydis.h>

#include "base/check.h"
#include "engine/dbt/emitter.h"
#include "engine/dbt/options.h"

namespace rhea::dbt {

void Emitter::save_flags() {
  a_.mov(kT1, hRAX);
  a_.u8(0x9f);                            // lahf
  a_.u8(0x0f), a_.u8(0x90), a_.u8(0xc0);  // seto al
  a_.store16(ctx_mem(RHEA_CTX(core.s.status_flags)), hRAX);
  a_.mov(hRAX, kT1);
}

void Emitter::restore_flags() {
  a_.mov(kT2, hRAX);
  a_.load16z(hRAX, ctx_mem(RHEA_CTX(core.s.status_flags)));
  a_.u8(0x04), a_.u8(0x7f);  // add al, 127: OF
  a_.u8(0x9e);               // sahf
  a_.mov(hRAX, kT2);
}

void Emitter::flags_to_slot() {
  if (flags_.slot && options_.lazy_flags) return;
  if (!flags_.host) return;
  save_flags();
  flags_.slot = true;
}

void Emitter::flags_to_host() {
  if (flags_.host) return;
  restore_flags();
  flags_.host = true;
}

void Emitter::write_gpr(int guest, Host value, unsigned bytes) {
  uint8_t h = host_of(guest);
  if (bytes == 1) {
    CHECK(h < 4 && value >= 8);  // AL to BL out of an extended register
    a_.op_rr(0x88, value, h, false);
  } else if (bytes == 2) {
    if (h == kNone) {
      a_.store16(gpr_slot(guest), value);
    } else {
      a_.u8(0x66);
      a_.op_rr(0x89, value, h, false);
    }
  } else if (h != kNone) {
    if (bytes == 8)
      a_.mov(static_cast<Host>(h), value);
    else
      a_.mov32(static_cast<Host>(h), value);
  } else {
    if (bytes == 4) a_.mov32(value, value);
    a_.store(gpr_slot(guest), value);
  }
}

Host Emitter::read_gpr(int guest, Host scratch) {
  uint8_t h = host_of(guest);
  if (h != kNone) return static_cast<Host>(h);
  a_.load(scratch, gpr_slot(guest));
  return scratch;
}

unsigned Emitter::stack_bytes() const {
  return is64(mode_) ? 8 : (mode_ & mode::kStack32) != 0 ? 4 : 2;
}

MemOperand Emitter::stack_operand(int32_t disp) const {
  MemOperand m;
  m.base = cpu::RSP;
  m.disp = disp;
  m.seg = cpu::SS;
  return m;
}

void Emitter::move_sp(int32_t by) {
  switch (stack_bytes()) {
    case 8: a_.lea(kGuestSp, {.base = kGuestSp, .disp = by}); break;
    case 4: a_.lea32(kGuestSp, {.base = kGuestSp, .disp = by}); break;
    default: a_.lea32(kT1, {.base = kGuestSp, .disp = by}); write_gpr(cpu::RSP, kT1, 2);
  }
}

// op stores `bytes` bytes at the new top; only then the stack pointer moves.
void Emitter::push_value(const Insn& i, unsigned bytes, const MemOp& op) {
  access(i, stack_operand(-static_cast<int32_t>(bytes)), stack_bytes(), bytes, true, false, op, plan_.stack);
  move_sp(-static_cast<int32_t>(bytes));
}

bool Emitter::push(const Insn& i, uint16_t live_after) {
  unsigned bytes = i.code_bits == 64 ? (i.op_bytes == 2 ? 2 : 8) : i.op_bytes;
  uint16_t keep = live_after & kStatusMask;
  MemOp op{.kind = MemOp::Kind::StoreReg, .bytes = static_cast<uint8_t>(bytes), .keep_flags = keep};
  if (i.has_mem) {
    MemOp load{
        .kind = MemOp::Kind::LoadReg, .reg = kT2, .bytes = static_cast<uint8_t>(bytes), .keep_flags = keep};
    access(i, i.mem, i.addr_bytes, bytes, false, true, load, plan_.mem);
    op.reg = kT2;
  } else if ((i.gpr_fields & (gpr_field::kOpcode | gpr_field::kModrmRm)) != 0) {
    op.reg = host_of(i.rm);
  } else if (i.imm_bytes != 0) {
    op.kind = MemOp::Kind::StoreImm;
    op.imm = static_cast<int32_t>(i.imm);
  } else {
    return false;
  }
  if (op.kind == MemOp::Kind::StoreReg && op.reg == kNone) {
    op.kind = MemOp::Kind::StoreGuest;
    op.imm = i.rm;
  }
  push_value(i, bytes, op);
  return true;
}

bool Emitter::pop(const Insn& i, uint16_t live_after) {
  unsigned bytes = i.code_bits == 64 ? (i.op_bytes == 2 ? 2 : 8) : i.op_bytes;
  uint16_t keep = live_after & kStatusMask;
  MemOp load{
      .kind = MemOp::Kind::LoadReg, .reg = kT2, .bytes = static_cast<uint8_t>(bytes), .keep_flags = keep};
  if (i.has_mem) {
    access(i, stack_operand(0), stack_bytes(), bytes, false, true, load, plan_.stack);
    MemOperand to = i.mem;  // an address that uses rsp sees it after the increment
    if (to.base == cpu::RSP) to.disp += static_cast<int32_t>(bytes);
    MemOp store{
        .kind = MemOp::Kind::StoreReg, .reg = kT2, .bytes = static_cast<uint8_t>(bytes), .keep_flags = keep};
    access(i, to, i.addr_bytes, bytes, true, false, store, plan_.mem);
    move_sp(static_cast<int32_t>(bytes));
    return true;
  }
  if ((i.gpr_fields & (gpr_field::kOpcode | gpr_field::kModrmRm)) == 0) return false;
  access(i, stack_operand(0), stack_bytes(), bytes, false, true, load, plan_.stack);
  move_sp(static_cast<int32_t>(bytes));
  write_gpr(i.rm, kT2, bytes);
  return true;
}

void Emitter::leave(const Insn& i, uint16_t live_after) {
  unsigned bytes = i.code_bits == 64 ? (i.op_bytes == 2 ? 2 : 8) : i.op_bytes;
  MemOperand m = stack_operand(0);
  m.base = cpu::RBP;
  MemOp load{.kind = MemOp::Kind::LoadReg,
             .reg = kT2,
             .bytes = static_cast<uint8_t>(bytes),
             .keep_flags = static_cast<uint16_t>(live_after & kStatusMask)};
  access(i, m, stack_bytes(), bytes, false, true, load, plan_.stack);
  a_.lea(kT0, {.base = hRBP, .disp = static_cast<int32_t>(bytes)});
  write_gpr(cpu::RSP, kT0, stack_bytes());
  write_gpr(cpu::RBP, kT2, bytes);
}

void Emitter::lea(const Insn& i) {
  const MemOperand& m = i.mem;
  uint8_t base = m.base == kNoReg || m.base == kRip ? kNone : host_of(m.base);
  uint8_t index = m.index == kNoReg ? kNone : host_of(m.index);
  uint8_t to = host_of(i.reg);
  bool plain = i.addr_bytes == 8 && to != kNone && i.op_bytes != 2 && m.base != kRip &&
               (base != kNone || index != kNone) && (m.base == kNoReg || base != kNone) &&
               (m.index == kNoReg || index != kNone);
  if (plain) {
    HostMem ea{.base = base, .index = index, .scale = m.scale, .disp = static_cast<int32_t>(m.disp)};
    a_.op_rm(0x8d, to, ea, i.op_bytes == 8);
    return;
  }
  effective_address(i, m, i.addr_bytes);
  write_gpr(i.reg, kT0, i.op_bytes);
}

}  // namespace rhea::dbt
