// What helpers share: operands of a decoded instruction in the guest's state and memory, the stack, outcomes.
// General registers only. Everything inline here is static, so that no other unit's version is linked in its
// place.
#pragma once

#include <cstdint>

#include "cpu/core.h"
#include "cpu/paging.h"
#include "cpu/segmentation.h"
#include "engine/dbt/forms.h"
#include "engine/dbt/helpers/helpers.h"

namespace rhea::dbt::helpers {

using cpu::Core;
namespace vec = cpu::vec;

[[maybe_unused]] static inline uint64_t size_mask(unsigned bytes) {
  return bytes >= 8 ? ~uint64_t{0} : (uint64_t{1} << (8 * bytes)) - 1;
}

[[maybe_unused]] static inline uint64_t sign_bit(unsigned bytes) {
  return uint64_t{1} << (8 * bytes - 1);
}

[[maybe_unused]] static inline int64_t sign_extend(uint64_t value, unsigned bytes) {
  unsigned shift = 64 - 8 * bytes;
  return static_cast<int64_t>(value << shift) >> shift;
}

// Of the instruction after this one, wrapped as the mode does.
[[maybe_unused]] static inline uint64_t next_rip(const Core& c, const Insn& insn) {
  uint64_t next = c.s.rip + insn.length;
  return insn.code_bits == 64 ? next : next & 0xffffffff;
}

[[maybe_unused]] static inline Outcome done(bool ok) {
  return ok ? Outcome::Continue : Outcome::Fault;
}
[[maybe_unused]] static inline Outcome jumped(bool ok) {
  return ok ? Outcome::Jump : Outcome::Fault;
}

// bytes 1 without REX: 4-7 are AH, CH, DH, BH.
[[maybe_unused]] static inline uint64_t read_gpr(const Core& c, int reg, unsigned bytes, bool rex = true) {
  auto n = static_cast<unsigned>(reg) & 15;
  if (bytes == 1 && !rex && n >= 4 && n < 8) return c.s.gpr[n - 4] >> 8 & 0xff;
  return c.s.gpr[n] & size_mask(bytes);
}

// 4 bytes clear the upper half, 1 and 2 keep the rest.
[[maybe_unused]] static inline void write_gpr(Core& c, int reg, unsigned bytes, uint64_t value,
                                              bool rex = true) {
  auto n = static_cast<unsigned>(reg) & 15;
  if (bytes == 1 && !rex && n >= 4 && n < 8) {
    c.s.gpr[n - 4] = (c.s.gpr[n - 4] & ~uint64_t{0xff00}) | (value & 0xff) << 8;
    return;
  }
  uint64_t mask = size_mask(bytes);
  c.s.gpr[n] = bytes >= 4 ? value & mask : (c.s.gpr[n] & ~mask) | (value & mask);
}

// CF, PF, AF, ZF, SF, OF by rflags bits.
[[maybe_unused]] static inline uint64_t get_flags(const Core& c) {
  uint64_t f = c.s.status_flags;
  return (f >> 8 & 0xd5) | ((f & 1) != 0 ? cpu::rflags::OF : 0);
}

[[maybe_unused]] static inline void set_flags(Core& c, uint64_t flags) {
  c.s.status_flags =
      static_cast<uint16_t>(((flags & 0xd5) | 2) << 8 | ((flags & cpu::rflags::OF) != 0 ? 1u : 0u));
}

// SF, ZF, PF of a byte result.
[[maybe_unused]] static inline uint64_t byte_result_flags(uint8_t v) {
  uint64_t flags = (v & 0x80u) | (v == 0 ? cpu::rflags::ZF : 0);
  unsigned fold = v ^ v >> 4;
  fold ^= fold >> 2;
  fold ^= fold >> 1;
  return flags | ((fold & 1) == 0 ? cpu::rflags::PF : 0);
}

// Segment that a segment-override prefix names, or the default; for instructions with an implicit memory
// operand.
cpu::SegIndex prefixed_segment(const Insn& insn, cpu::SegIndex default_segment = cpu::DS);

// The last of F2 and F3 among the prefixes, or 0.
uint8_t repeat_prefix(const Insn& insn);

// Data breakpoints are armed: accesses are made one by one, and a repeated instruction stops after each
// element.
bool data_watched(const Core& c);

// The checks and the access, up to 64 bytes, on behalf of the current privilege level. size > 8 is not
// subject to #AC.
bool read_at(Core& c, cpu::SegIndex segment, uint64_t offset, void* to, unsigned size);
bool write_at(Core& c, cpu::SegIndex segment, uint64_t offset, const void* from, unsigned size);
// `add` bytes beyond the memory operand.
bool read_mem(Core& c, const Insn& insn, uint64_t add, uint64_t& value, unsigned size);
bool write_mem(Core& c, const Insn& insn, uint64_t add, uint64_t value, unsigned size);
// Register or memory operand in the r/m field, zero-extended.
bool read_rm(Core& c, const Insn& insn, uint64_t& value, unsigned size);
// Memory: `memory_size` bytes; register: `register_size`.
bool write_rm(Core& c, const Insn& insn, uint64_t value, unsigned register_size, unsigned memory_size);

// Width of the stack pointer: 2, 4 or 8.
unsigned stack_width(const Core& c);
// One slot of `size` bytes at rSP + delta, and rSP moved by delta.
bool read_stack(Core& c, uint64_t delta, uint64_t& value, unsigned size);
bool push(Core& c, uint64_t value, unsigned size);
void add_rsp(Core& c, uint64_t delta);

// #GP(0) unless CPL is 0.
bool require_cpl0(Core& c);
// #UD in real and virtual-8086 mode.
bool require_protected(Core& c);

}  // namespace rhea::dbt::helpers
