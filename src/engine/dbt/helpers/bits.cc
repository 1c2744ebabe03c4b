// BT, BTS, BTR, BTC with a memory operand and a register index, which reaches 2^63 bits to either side of the
// operand (SDM vol. 2, BT). ZF is unchanged and so are, on the CPUs measured, OF, SF, AF and PF.
#include "cpu/paging_tlb.h"
#include "engine/dbt/helpers/operands.h"

namespace rhea::dbt::helpers {

namespace {

enum class BitOp : uint8_t { Test, Set, Reset, Complement };

BitOp operation(const Insn& insn) {
  return static_cast<BitOp>(insn.opcode >> 3 & 3);
}

uint64_t changed(uint64_t value, uint64_t bit, BitOp op) {
  switch (op) {
    case BitOp::Set: return value | bit;
    case BitOp::Reset: return value & ~bit;
    case BitOp::Complement: return value ^ bit;
    case BitOp::Test: break;
  }
  return value;
}

// SAFETY: guest memory has no type and any alignment; a locked access may straddle lines as the guest's does.
template <class T>
uint64_t locked_change(uint8_t* host, uint64_t bit, BitOp op) {
  typedef T __attribute__((may_alias, aligned(1))) Unaligned;
  auto* at = reinterpret_cast<Unaligned*>(host);
  T old = *static_cast<volatile Unaligned*>(at);
  T wanted;
  bool swapped;
  do {
    wanted = static_cast<T>(changed(old, bit, op));
    asm volatile("lock cmpxchg %3, %1" : "+a"(old), "+m"(*at), "=@ccz"(swapped) : "r"(wanted) : "memory");
  } while (!swapped);
  return old;
}

uint64_t locked_change(uint8_t* host, uint64_t bit, BitOp op, unsigned size) {
  if (size == 2) return locked_change<uint16_t>(host, bit, op);
  if (size == 4) return locked_change<uint32_t>(host, bit, op);
  return locked_change<uint64_t>(host, bit, op);
}

// False: not plain RAM within a page.
bool change_in_ram(Core& c, uint64_t linear, unsigned size, uint64_t bit, BitOp op, uint64_t& old,
                   bool& faulted) {
  cpu::Translation t;
  const memory::FlatRange* range;
  if ((linear & 0xfff) + size > 0x1000) return false;
  faulted = !cpu::translate(c, linear, cpu::Access::Write, cpu::current_privilege(c), t);
  if (faulted) return true;
  uint8_t* host = cpu::host_pointer(c, t.gpa, size, range);
  if (host == nullptr || range->access == memory::RamAccess::ReadOnly) return false;
  old = locked_change(host, bit, op, size);
  cpu::note_code_write(c, *range, t.gpa, size);
  return true;
}

}  // namespace

Outcome bit_test(Core& c, const Insn& insn) {
  unsigned size = insn.op_bytes;
  unsigned log2_bits = size == 2 ? 4 : size == 4 ? 5 : 6;
  int64_t index = sign_extend(read_gpr(c, insn.reg, size), size);
  auto step = static_cast<uint64_t>(index >> log2_bits) * size;
  uint64_t bit = uint64_t{1} << (static_cast<uint64_t>(index) & (8 * size - 1));
  uint64_t offset = (effective_offset(c, insn) + step) & size_mask(insn.addr_bytes);
  auto segment = static_cast<cpu::SegIndex>(insn.mem.seg);
  BitOp op = operation(insn);
  uint64_t old = 0;
  if (op == BitOp::Test) {
    if (!read_at(c, segment, offset, &old, size)) return Outcome::Fault;
  } else {
    uint64_t linear;
    bool faulted = false;
    if (!cpu::to_linear(c, segment, offset, size, true, linear)) return Outcome::Fault;
    bool aligned = (linear & (size - 1)) == 0;
    if (!aligned || !change_in_ram(c, linear, size, bit, op, old, faulted)) {
      if (!cpu::probe_write(c, linear, size, cpu::current_privilege(c), segment == cpu::SS))
        return Outcome::Fault;
      if (!read_at(c, segment, offset, &old, size)) return Outcome::Fault;
      uint64_t wanted = changed(old, bit, op);
      if (!write_at(c, segment, offset, &wanted, size)) return Outcome::Fault;
    }
    if (faulted) return Outcome::Fault;
  }
  uint64_t flags = get_flags(c) & ~cpu::rflags::CF;
  set_flags(c, (old & bit) != 0 ? flags | cpu::rflags::CF : flags);
  return Outcome::Continue;
}

}  // namespace rhea::dbt::helpers
