// Instructions that 64-bit mode does not have, and ENTER and XLAT. SDM vol. 2 per instruction. Flags that it
// leaves undefined are as the host's CPU leaves them (measured by tests/differential).
#include "engine/dbt/helpers/operands.h"

namespace rhea::dbt::helpers {

namespace {

using cpu::rflags::AF;
using cpu::rflags::CF;
using cpu::rflags::OF;

uint8_t al(const Core& c) {
  return static_cast<uint8_t>(c.s.gpr[cpu::RAX]);
}

void set_ax(Core& c, unsigned value) {
  write_gpr(c, cpu::RAX, 2, value & 0xffff);
}

uint64_t overflow(unsigned sign, unsigned same_as) {
  return (sign & same_as) != 0 ? OF : 0;
}

// DAA and DAS. SF, ZF, PF and the undefined OF are those of one addition or subtraction of the whole
// adjustment.
Outcome decimal_adjust(Core& c, bool subtract) {
  uint64_t old_flags = get_flags(c), flags = 0;
  unsigned old = al(c), by = 0;
  if ((old & 0xf) > 9 || (old_flags & AF) != 0) {
    by = 6;
    flags |= AF;
    if (subtract && (old < 6 || (old_flags & CF) != 0)) flags |= CF;
  }
  if (old > 0x99 || (old_flags & CF) != 0) {
    by += 0x60;
    flags |= CF;
  }
  unsigned result = (subtract ? old - by : old + by) & 0xff;
  flags |= overflow(0x80, (subtract ? old ^ by : ~(old ^ by)) & (old ^ result));
  write_gpr(c, cpu::RAX, 1, result);
  set_flags(c, flags | byte_result_flags(static_cast<uint8_t>(result)));
  return Outcome::Continue;
}

// AAA and AAS. The undefined flags are those of one 16-bit operation on AX, before bits 7-4 of AL are
// cleared.
Outcome ascii_adjust(Core& c, bool subtract) {
  auto ax = static_cast<unsigned>(c.s.gpr[cpu::RAX] & 0xffff);
  bool carry = (ax & 0xf) > 9 || (get_flags(c) & AF) != 0;
  unsigned by = carry ? 0x106 : 0;
  unsigned result = (subtract ? ax - by : ax + by) & 0xffff;
  uint64_t flags = carry ? AF | CF : 0;
  flags |= (byte_result_flags(static_cast<uint8_t>(result)) & cpu::rflags::PF) |
           (result == 0 ? cpu::rflags::ZF : 0);
  flags |= (result & 0x8000) != 0 ? cpu::rflags::SF : 0;
  flags |= overflow(0x8000, (subtract ? ax ^ by : ~(ax ^ by)) & (ax ^ result));
  set_ax(c, result & 0xff0f);
  set_flags(c, flags);
  return Outcome::Continue;
}

}  // namespace

Outcome daa(Core& c, const Insn&) {
  return decimal_adjust(c, false);
}
Outcome das(Core& c, const Insn&) {
  return decimal_adjust(c, true);
}
Outcome aaa(Core& c, const Insn&) {
  return ascii_adjust(c, false);
}
Outcome aas(Core& c, const Insn&) {
  return ascii_adjust(c, true);
}

Outcome aam(Core& c, const Insn& insn) {
  unsigned base = insn.imm & 0xff;
  if (base == 0) return done(c.raise(vec::DE));
  unsigned value = al(c);
  set_ax(c, value / base << 8 | value % base);
  set_flags(c, byte_result_flags(static_cast<uint8_t>(value % base)));
  return Outcome::Continue;
}

Outcome aad(Core& c, const Insn& insn) {
  auto ax = static_cast<unsigned>(c.s.gpr[cpu::RAX] & 0xffff);
  unsigned low = ax & 0xff, product = (ax >> 8) * static_cast<unsigned>(insn.imm & 0xff) & 0xff;
  unsigned value = (low + product) & 0xff;
  set_ax(c, value);
  // The undefined CF, AF and OF are the addition's.
  uint64_t flags = byte_result_flags(static_cast<uint8_t>(value)) | (low + product > 0xff ? CF : 0);
  flags |= ((low ^ product ^ value) & 0x10) != 0 ? AF : 0;
  set_flags(c, flags | overflow(0x80, ~(low ^ product) & (low ^ value)));
  return Outcome::Continue;
}

Outcome xlat(Core& c, const Insn& insn) {
  uint64_t offset = (c.s.gpr[cpu::RBX] + al(c)) & size_mask(insn.addr_bytes);
  uint8_t value;
  if (!read_at(c, prefixed_segment(insn), offset, &value, 1)) return Outcome::Fault;
  write_gpr(c, cpu::RAX, 1, value);
  return Outcome::Continue;
}

Outcome bound(Core& c, const Insn& insn) {
  uint64_t low, high;
  if (!read_mem(c, insn, 0, low, insn.op_bytes)) return Outcome::Fault;
  if (!read_mem(c, insn, insn.op_bytes, high, insn.op_bytes)) return Outcome::Fault;
  int64_t index = sign_extend(read_gpr(c, insn.reg, insn.op_bytes), insn.op_bytes);
  bool inside = index >= sign_extend(low, insn.op_bytes) && index <= sign_extend(high, insn.op_bytes);
  return done(inside || c.raise(vec::BR));
}

Outcome pusha(Core& c, const Insn& insn) {
  unsigned size = insn.op_bytes;
  uint64_t mask = size_mask(stack_width(c));
  for (unsigned i = 0; i < 8; ++i) {
    uint64_t to = (c.s.gpr[cpu::RSP] - uint64_t{size} * (i + 1)) & mask;
    if (!write_at(c, cpu::SS, to, &c.s.gpr[i], size)) return Outcome::Fault;
  }
  add_rsp(c, uint64_t{0} - size * 8u);
  return Outcome::Continue;
}

Outcome popa(Core& c, const Insn& insn) {
  unsigned size = insn.op_bytes;
  for (unsigned i = 0; i < 8; ++i) {
    uint64_t value;
    unsigned reg = 7 - i;
    // A fault leaves what has been loaded before it, on the CPUs measured; the stack pointer moves last.
    if (!read_stack(c, uint64_t{size} * i, value, size)) return Outcome::Fault;
    if (reg != cpu::RSP) write_gpr(c, static_cast<int>(reg), size, value);
  }
  add_rsp(c, size * 8u);
  return Outcome::Continue;
}

Outcome enter(Core& c, const Insn& insn) {
  unsigned size = insn.op_bytes, width = stack_width(c);
  unsigned level = insn.imm2 & 31;
  uint64_t mask = size_mask(width);
  uint64_t sp = (c.s.gpr[cpu::RSP] - size) & mask, bp = c.s.gpr[cpu::RBP] & mask;
  if (!write_at(c, cpu::SS, sp, &c.s.gpr[cpu::RBP], size)) return Outcome::Fault;
  // With a 16-bit stack and 32-bit operands EBP gets all of ESP, on the CPUs measured.
  uint64_t frame = (c.s.gpr[cpu::RSP] & ~mask) | sp;
  for (unsigned i = 1; i < level; ++i) {
    uint64_t value = 0;
    bp = (bp - size) & mask;
    sp = (sp - size) & mask;
    if (!read_at(c, cpu::SS, bp, &value, size) || !write_at(c, cpu::SS, sp, &value, size))
      return Outcome::Fault;
  }
  if (level != 0) {
    sp = (sp - size) & mask;
    if (!write_at(c, cpu::SS, sp, &frame, size)) return Outcome::Fault;
  }
  sp = (sp - static_cast<uint16_t>(insn.imm)) & mask;
  // The final stack pointer must be writable (SDM vol. 2, ENTER).
  uint64_t linear;
  if (!cpu::to_linear(c, cpu::SS, sp, size, true, linear)) return Outcome::Fault;
  if (!cpu::probe_write(c, linear, size, cpu::current_privilege(c), true)) return Outcome::Fault;
  write_gpr(c, cpu::RBP, size, frame);
  write_gpr(c, cpu::RSP, width, sp);
  return Outcome::Continue;
}

}  // namespace rhea::dbt::helpers
