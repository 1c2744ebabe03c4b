// Far transfers, interrupts, system calls and their returns: operands fetched here, the rest is
// cpu/control_transfer.h.
#include "cpu/control_transfer.h"
#include "engine/dbt/helpers/operands.h"

namespace rhea::dbt::helpers {

namespace {

// ptr16:16/32 in the instruction, or m16:16/32/64.
bool far_target(Core& c, const Insn& insn, uint16_t& selector, uint64_t& offset) {
  if (!insn.has_mem) {
    offset = static_cast<uint64_t>(insn.imm) & size_mask(insn.op_bytes);
    selector = insn.imm2;
    return true;
  }
  uint64_t sel;
  if (!read_mem(c, insn, 0, offset, insn.op_bytes)) return false;
  if (!read_mem(c, insn, insn.op_bytes, sel, 2)) return false;
  selector = static_cast<uint16_t>(sel);
  return true;
}

}  // namespace

Outcome call_far(Core& c, const Insn& insn) {
  uint16_t selector;
  uint64_t offset;
  if (!far_target(c, insn, selector, offset)) return Outcome::Fault;
  return jumped(cpu::call_far(c, selector, offset, insn.op_bytes, next_rip(c, insn)));
}

Outcome jmp_far(Core& c, const Insn& insn) {
  uint16_t selector;
  uint64_t offset;
  if (!far_target(c, insn, selector, offset)) return Outcome::Fault;
  return jumped(cpu::jmp_far(c, selector, offset, insn.op_bytes, next_rip(c, insn)));
}

Outcome ret_far(Core& c, const Insn& insn) {
  uint32_t pop_bytes = insn.opcode == 0xca ? static_cast<uint16_t>(insn.imm) : 0;
  return jumped(cpu::ret_far(c, insn.op_bytes, pop_bytes));
}

Outcome iret(Core& c, const Insn& insn) {
  return jumped(cpu::iret(c, insn.op_bytes, next_rip(c, insn)));
}

Outcome int_n(Core& c, const Insn& insn) {
  return jumped(cpu::software_interrupt(c, cpu::EventKind::SoftwareInt, static_cast<uint8_t>(insn.imm),
                                        next_rip(c, insn)));
}

Outcome int3(Core& c, const Insn& insn) {
  return jumped(cpu::software_interrupt(c, cpu::EventKind::Int3OrInto, vec::BP, next_rip(c, insn)));
}

Outcome int1(Core& c, const Insn& insn) {
  return jumped(cpu::software_interrupt(c, cpu::EventKind::Int1, vec::DB, next_rip(c, insn)));
}

Outcome into(Core& c, const Insn& insn) {
  if ((get_flags(c) & cpu::rflags::OF) == 0) return Outcome::Continue;
  return jumped(cpu::software_interrupt(c, cpu::EventKind::Int3OrInto, vec::OF, next_rip(c, insn)));
}

Outcome syscall(Core& c, const Insn& insn) {
  return jumped(cpu::syscall(c, next_rip(c, insn)));
}
Outcome sysret(Core& c, const Insn& insn) {
  return jumped(cpu::sysret(c, insn.rex_w != 0 ? 8 : 4));
}
Outcome sysenter(Core& c, const Insn& insn) {
  return jumped(cpu::sysenter(c, next_rip(c, insn)));
}
Outcome sysexit(Core& c, const Insn& insn) {
  return jumped(cpu::sysexit(c, insn.rex_w != 0 ? 8 : 4));
}
Outcome rsm(Core& c, const Insn&) {
  return jumped(cpu::rsm(c));
}

}  // namespace rhea::dbt::helpers
