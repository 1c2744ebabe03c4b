#include "engine/dbt/helpers/operands.h"

#include "engine/dbt/context.h"
#include "engine/dbt/runtime_debug.h"

namespace rhea::dbt {

uint64_t effective_offset(const cpu::Core& c, const Insn& insn) {
  auto address = static_cast<uint64_t>(insn.mem.disp);
  if (insn.mem.base == kRip) {
    address += c.s.rip;  // the displacement is from this instruction's start
  } else if (insn.mem.base >= 0) {
    address += c.s.gpr[insn.mem.base & 15];
  }
  if (insn.mem.index >= 0 && !insn.mem.vsib) address += c.s.gpr[insn.mem.index & 15] << (insn.mem.scale & 3);
  return address & helpers::size_mask(insn.addr_bytes);
}

namespace helpers {

using cpu::current_privilege;
using cpu::SegIndex;

namespace {

// One that another prefix follows means nothing.
bool is_rex(const Insn& insn, uint8_t byte) {
  return insn.code_bits == 64 && (byte & 0xf0) == 0x40;
}

}  // namespace

cpu::SegIndex prefixed_segment(const Insn& insn, SegIndex default_segment) {
  SegIndex found = default_segment;
  for (unsigned i = 0; i < insn.length; ++i) {
    switch (insn.raw[i]) {
      case 0x26:
        if (insn.code_bits != 64) found = cpu::ES;
        break;
      case 0x2e:
        if (insn.code_bits != 64) found = cpu::CS;
        break;
      case 0x36:
        if (insn.code_bits != 64) found = cpu::SS;
        break;
      case 0x3e:
        if (insn.code_bits != 64) found = cpu::DS;
        break;
      case 0x64: found = cpu::FS; break;
      case 0x65: found = cpu::GS; break;
      case 0x66:
      case 0x67:
      case 0xf0:
      case 0xf2:
      case 0xf3: break;
      default:
        if (!is_rex(insn, insn.raw[i])) return found;
    }
  }
  return found;
}

uint8_t repeat_prefix(const Insn& insn) {
  uint8_t found = 0;
  for (unsigned i = 0; i < insn.length; ++i) {
    switch (insn.raw[i]) {
      case 0xf2:
      case 0xf3: found = insn.raw[i]; break;
      case 0x26:
      case 0x2e:
      case 0x36:
      case 0x3e:
      case 0x64:
      case 0x65:
      case 0x66:
      case 0x67:
      case 0xf0: break;
      default:
        if (!is_rex(insn, insn.raw[i])) return found;
    }
  }
  return found;
}

namespace {

// Before the pages are looked at (measured).
bool alignment_fault(Core& c, uint64_t linear, unsigned size) {
  if (c.s.cpl != 3 || (c.s.cr0 & cpu::cr0::AM) == 0 || (c.s.system_flags & cpu::rflags::AC) == 0)
    return false;
  if (size == 10) size = 8;
  if (size > 8 || (size & (size - 1)) != 0 || (linear & (size - 1)) == 0) return false;
  (void)c.raise(vec::AC, 0);
  return true;
}

// Points that a faulting access touched are forgotten with the fault.
void note_watched(Core& c, uint64_t linear, unsigned size, bool read, bool write) {
  if (data_watched(c)) watch_access(context_of(c), linear, size, read, write);
}

}  // namespace

bool data_watched(const Core& c) {
  return (context_of(const_cast<Core&>(c)).mode & mode::kWatch) != 0;
}

bool read_at(Core& c, SegIndex segment, uint64_t offset, void* to, unsigned size) {
  uint64_t linear;
  if (!cpu::to_linear(c, segment, offset, size, false, linear)) return false;
  bool stack = segment == cpu::SS;
  if (alignment_fault(c, linear, size)) return false;
  note_watched(c, linear, size, true, false);
  return cpu::read_linear(c, linear, to, size, current_privilege(c), stack);
}

bool write_at(Core& c, SegIndex segment, uint64_t offset, const void* from, unsigned size) {
  uint64_t linear;
  if (!cpu::to_linear(c, segment, offset, size, true, linear)) return false;
  bool stack = segment == cpu::SS;
  if (alignment_fault(c, linear, size)) return false;
  note_watched(c, linear, size, false, true);
  return cpu::write_linear(c, linear, from, size, current_privilege(c), stack);
}

bool read_mem(Core& c, const Insn& insn, uint64_t add, uint64_t& value, unsigned size) {
  uint64_t offset = effective_offset(c, insn) + add;  // an operand does not wrap within itself
  uint64_t read = 0;
  if (!read_at(c, static_cast<SegIndex>(insn.mem.seg), offset, &read, size)) return false;
  value = read;
  return true;
}

bool write_mem(Core& c, const Insn& insn, uint64_t add, uint64_t value, unsigned size) {
  uint64_t offset = effective_offset(c, insn) + add;  // an operand does not wrap within itself
  return write_at(c, static_cast<SegIndex>(insn.mem.seg), offset, &value, size);
}

bool read_rm(Core& c, const Insn& insn, uint64_t& value, unsigned size) {
  if (insn.has_mem) return read_mem(c, insn, 0, value, size);
  value = read_gpr(c, insn.rm, size, insn.has_rex);
  return true;
}

bool write_rm(Core& c, const Insn& insn, uint64_t value, unsigned register_size, unsigned memory_size) {
  if (insn.has_mem) return write_mem(c, insn, 0, value, memory_size);
  write_gpr(c, insn.rm, register_size, value, insn.has_rex);
  return true;
}

unsigned stack_width(const Core& c) {
  if (c.s.code64()) return 8;
  return (c.s.seg[cpu::SS].attr & cpu::attr::kBig) != 0 ? 4 : 2;
}

bool read_stack(Core& c, uint64_t delta, uint64_t& value, unsigned size) {
  uint64_t read = 0;
  if (!read_at(c, cpu::SS, (c.s.gpr[cpu::RSP] + delta) & size_mask(stack_width(c)), &read, size))
    return false;
  value = read;
  return true;
}

void add_rsp(Core& c, uint64_t delta) {
  write_gpr(c, cpu::RSP, stack_width(c), c.s.gpr[cpu::RSP] + delta);
}

bool push(Core& c, uint64_t value, unsigned size) {
  uint64_t to = (c.s.gpr[cpu::RSP] - size) & size_mask(stack_width(c));
  if (!write_at(c, cpu::SS, to, &value, size)) return false;
  add_rsp(c, uint64_t{0} - size);
  return true;
}

bool require_cpl0(Core& c) {
  return c.s.cpl == 0 || c.raise(vec::GP, 0);
}

bool require_protected(Core& c) {
  return (c.s.protected_mode() && !c.s.vm86()) || c.raise(vec::UD);
}

}  // namespace helpers
}  // namespace rhea::dbt
