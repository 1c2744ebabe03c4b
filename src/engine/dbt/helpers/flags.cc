// PUSHF, POPF, CLI, STI, CLD, STD, STAC, CLAC, SALC. SDM vol. 2 per instruction.
#include "cpu/registers.h"
#include "engine/dbt/helpers/operands.h"

namespace rhea::dbt::helpers {

Outcome pushf(Core& c, const Insn& insn) {
  uint64_t value;
  if (!cpu::pushf(c, insn.op_bytes, value)) return Outcome::Fault;
  return done(push(c, value, insn.op_bytes));
}

Outcome popf(Core& c, const Insn& insn) {
  uint64_t value;
  if (!read_stack(c, 0, value, insn.op_bytes)) return Outcome::Fault;
  if (!cpu::popf(c, value, insn.op_bytes)) return Outcome::Fault;
  add_rsp(c, insn.op_bytes);
  return Outcome::Continue;
}

Outcome cli(Core& c, const Insn&) {
  return done(cpu::cli(c));
}
Outcome sti(Core& c, const Insn&) {
  return done(cpu::sti(c));
}

Outcome cld(Core& c, const Insn&) {
  c.s.direction_flag = 0;
  return Outcome::Continue;
}

Outcome std_(Core& c, const Insn&) {
  c.s.direction_flag = 1;
  return Outcome::Continue;
}

namespace {

Outcome set_ac(Core& c, bool on) {
  if (c.s.cpl != 0) return done(c.raise(vec::UD));
  auto bit = static_cast<uint32_t>(cpu::rflags::AC);
  uint32_t flags = on ? c.s.system_flags | bit : c.s.system_flags & ~bit;
  if (flags != c.s.system_flags) {
    c.s.system_flags = flags;
    c.hooks->mode_changed(c);
  }
  return Outcome::Continue;
}

}  // namespace

Outcome stac(Core& c, const Insn&) {
  return set_ac(c, true);
}
Outcome clac(Core& c, const Insn&) {
  return set_ac(c, false);
}

Outcome salc(Core& c, const Insn&) {
  write_gpr(c, cpu::RAX, 1, (get_flags(c) & cpu::rflags::CF) != 0 ? 0xff : 0);
  return Outcome::Continue;
}

}  // namespace rhea::dbt::helpers
