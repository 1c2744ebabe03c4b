// Segment registers and descriptor tables as instructions see them: MOV/PUSH/POP Sreg, LDS…LGS, LAR, LSL,
// VERR, VERW, ARPL, LGDT…STR, FS/GS base, SWAPGS. SDM vol. 2 per instruction.
#include "cpu/registers.h"
#include "engine/dbt/helpers/operands.h"

namespace rhea::dbt::helpers {

using cpu::SegIndex;

Outcome mov_to_seg(Core& c, const Insn& insn) {
  unsigned index = insn.modrm >> 3 & 7;
  if (index == cpu::CS || index > cpu::GS) return done(c.raise(vec::UD));
  uint64_t selector;
  if (!read_rm(c, insn, selector, 2)) return Outcome::Fault;
  return done(cpu::load_segment(c, static_cast<SegIndex>(index), static_cast<uint16_t>(selector)));
}

Outcome mov_from_seg(Core& c, const Insn& insn) {
  unsigned index = insn.modrm >> 3 & 7;
  if (index > cpu::GS) return done(c.raise(vec::UD));
  return done(write_rm(c, insn, c.s.seg[index].selector, insn.op_bytes, 2));
}

namespace {

SegIndex stack_opcode_segment(const Insn& insn) {
  if (insn.map == 1) return (insn.opcode & 8) != 0 ? cpu::GS : cpu::FS;
  return static_cast<SegIndex>(insn.opcode >> 3 & 3);
}

SegIndex far_pointer_segment(const Insn& insn) {
  if (insn.map == 0) return insn.opcode == 0xc4 ? cpu::ES : cpu::DS;
  return insn.opcode == 0xb2 ? cpu::SS : insn.opcode == 0xb4 ? cpu::FS : cpu::GS;
}

}  // namespace

Outcome push_seg(Core& c, const Insn& insn) {
  return done(push(c, c.s.seg[stack_opcode_segment(insn)].selector, insn.op_bytes));
}

Outcome pop_seg(Core& c, const Insn& insn) {
  uint64_t selector;
  if (!read_stack(c, 0, selector, insn.op_bytes)) return Outcome::Fault;
  unsigned width = stack_width(c);
  if (!cpu::load_segment(c, stack_opcode_segment(insn), static_cast<uint16_t>(selector)))
    return Outcome::Fault;
  write_gpr(c, cpu::RSP, width, c.s.gpr[cpu::RSP] + insn.op_bytes);
  return Outcome::Continue;
}

Outcome load_far_pointer(Core& c, const Insn& insn) {
  uint64_t offset, selector;
  if (!read_mem(c, insn, 0, offset, insn.op_bytes)) return Outcome::Fault;
  if (!read_mem(c, insn, insn.op_bytes, selector, 2)) return Outcome::Fault;
  if (!cpu::load_segment(c, far_pointer_segment(insn), static_cast<uint16_t>(selector)))
    return Outcome::Fault;
  c.s.interrupt_shadow = c.s.shadow_is_mov_ss = 0;  // LSS has none: it loads SS and ESP together
  write_gpr(c, insn.reg, insn.op_bytes, offset);
  return Outcome::Continue;
}

namespace {

void set_zf(Core& c, bool on) {
  uint64_t flags = get_flags(c) & ~cpu::rflags::ZF;
  set_flags(c, on ? flags | cpu::rflags::ZF : flags);
}

bool selector_operand(Core& c, const Insn& insn, uint16_t& selector) {
  uint64_t value;
  if (!require_protected(c) || !read_rm(c, insn, value, 2)) return false;
  selector = static_cast<uint16_t>(value);
  return true;
}

}  // namespace

Outcome lar(Core& c, const Insn& insn) {
  uint16_t selector;
  uint32_t rights = 0;
  bool faulted = false;
  if (!selector_operand(c, insn, selector)) return Outcome::Fault;
  bool visible = cpu::lar(c, selector, rights, faulted);
  if (faulted) return Outcome::Fault;
  set_zf(c, visible);
  if (visible) write_gpr(c, insn.reg, insn.op_bytes, rights);
  return Outcome::Continue;
}

Outcome lsl(Core& c, const Insn& insn) {
  uint16_t selector;
  uint32_t limit = 0;
  bool faulted = false;
  if (!selector_operand(c, insn, selector)) return Outcome::Fault;
  bool visible = cpu::lsl(c, selector, limit, faulted);
  if (faulted) return Outcome::Fault;
  set_zf(c, visible);
  if (visible) write_gpr(c, insn.reg, insn.op_bytes, limit);
  return Outcome::Continue;
}

namespace {

Outcome verify(Core& c, const Insn& insn, bool for_write) {
  uint16_t selector;
  bool faulted = false;
  if (!selector_operand(c, insn, selector)) return Outcome::Fault;
  bool visible = cpu::verify(c, selector, for_write, faulted);
  if (faulted) return Outcome::Fault;
  set_zf(c, visible);
  return Outcome::Continue;
}

}  // namespace

Outcome verr(Core& c, const Insn& insn) {
  return verify(c, insn, false);
}
Outcome verw(Core& c, const Insn& insn) {
  return verify(c, insn, true);
}

Outcome arpl(Core& c, const Insn& insn) {
  uint16_t selector;
  if (!selector_operand(c, insn, selector)) return Outcome::Fault;
  auto wanted = static_cast<uint16_t>(c.s.gpr[insn.reg & 15] & 3);
  bool raised = (selector & 3) < wanted;
  if (raised) selector = static_cast<uint16_t>((selector & ~3u) | wanted);
  if (raised && !write_rm(c, insn, selector, 2, 2)) return Outcome::Fault;
  set_zf(c, raised);
  return Outcome::Continue;
}

namespace {

bool load_table(Core& c, const Insn& insn, cpu::TableRegister& table) {
  uint64_t limit, base;
  unsigned base_bytes = insn.code_bits == 64 ? 8 : 4;
  if (!require_cpl0(c)) return false;
  if (!read_mem(c, insn, 0, limit, 2) || !read_mem(c, insn, 2, base, base_bytes)) return false;
  if (base_bytes == 4 && insn.op_bytes == 2) base &= 0xffffff;
  if (!cpu::canonical(c, base)) return c.raise(vec::GP, 0);
  table.base = base;
  table.limit = static_cast<uint16_t>(limit);
  return true;
}

bool umip_allows(Core& c) {
  return c.s.cpl == 0 || (c.s.cr4 & cpu::cr4::UMIP) == 0 || c.raise(vec::GP, 0);
}

bool store_table(Core& c, const Insn& insn, const cpu::TableRegister& table) {
  if (!umip_allows(c)) return false;
  return write_mem(c, insn, 0, table.limit, 2) &&
         write_mem(c, insn, 2, table.base, insn.code_bits == 64 ? 8 : 4);
}

}  // namespace

Outcome lgdt(Core& c, const Insn& insn) {
  return done(load_table(c, insn, c.s.gdtr));
}
Outcome lidt(Core& c, const Insn& insn) {
  return done(load_table(c, insn, c.s.idtr));
}
Outcome sgdt(Core& c, const Insn& insn) {
  return done(store_table(c, insn, c.s.gdtr));
}
Outcome sidt(Core& c, const Insn& insn) {
  return done(store_table(c, insn, c.s.idtr));
}

Outcome lldt(Core& c, const Insn& insn) {
  uint64_t selector;
  if (!require_protected(c) || !require_cpl0(c) || !read_rm(c, insn, selector, 2)) return Outcome::Fault;
  return done(cpu::load_ldtr(c, static_cast<uint16_t>(selector)));
}

Outcome ltr(Core& c, const Insn& insn) {
  uint64_t selector;
  if (!require_protected(c) || !require_cpl0(c) || !read_rm(c, insn, selector, 2)) return Outcome::Fault;
  return done(cpu::load_tr(c, static_cast<uint16_t>(selector)));
}

Outcome sldt(Core& c, const Insn& insn) {
  if (!require_protected(c) || !umip_allows(c)) return Outcome::Fault;
  return done(write_rm(c, insn, c.s.seg[cpu::LDTR].selector, insn.op_bytes, 2));
}

Outcome str(Core& c, const Insn& insn) {
  if (!require_protected(c) || !umip_allows(c)) return Outcome::Fault;
  return done(write_rm(c, insn, c.s.seg[cpu::TR].selector, insn.op_bytes, 2));
}

Outcome smsw(Core& c, const Insn& insn) {
  if (!umip_allows(c)) return Outcome::Fault;
  return done(write_rm(c, insn, c.s.cr0, insn.op_bytes, 2));
}

Outcome lmsw(Core& c, const Insn& insn) {
  uint64_t value;
  if (!require_cpl0(c) || !read_rm(c, insn, value, 2)) return Outcome::Fault;
  // It can set PE but not clear it.
  uint64_t cr0 = (c.s.cr0 & ~uint64_t{0xe}) | (value & 0xf);
  return done(cpu::write_cr0(c, cr0));
}

namespace {

Outcome read_base(Core& c, const Insn& insn, SegIndex index) {
  if ((c.s.cr4 & cpu::cr4::FSGSBASE) == 0) return done(c.raise(vec::UD));
  write_gpr(c, insn.rm, insn.rex_w != 0 ? 8 : 4, c.s.seg[index].base);
  return Outcome::Continue;
}

Outcome write_base(Core& c, const Insn& insn, SegIndex index) {
  if ((c.s.cr4 & cpu::cr4::FSGSBASE) == 0) return done(c.raise(vec::UD));
  uint64_t base = read_gpr(c, insn.rm, insn.rex_w != 0 ? 8 : 4);
  if (!cpu::canonical(c, base)) return done(c.raise(vec::GP, 0));
  c.s.seg[index].base = base;
  return Outcome::Continue;
}

}  // namespace

Outcome rdfsbase(Core& c, const Insn& insn) {
  return read_base(c, insn, cpu::FS);
}
Outcome rdgsbase(Core& c, const Insn& insn) {
  return read_base(c, insn, cpu::GS);
}
Outcome wrfsbase(Core& c, const Insn& insn) {
  return write_base(c, insn, cpu::FS);
}
Outcome wrgsbase(Core& c, const Insn& insn) {
  return write_base(c, insn, cpu::GS);
}

Outcome swapgs(Core& c, const Insn&) {
  if (!require_cpl0(c)) return Outcome::Fault;
  uint64_t base = c.s.seg[cpu::GS].base;
  c.s.seg[cpu::GS].base = c.s.kernel_gs_base;
  c.s.kernel_gs_base = base;
  return Outcome::Continue;
}

}  // namespace rhea::dbt::helpers
