// Vector loads and stores that touch only some elements: MASKMOVQ/MASKMOVDQU, VMASKMOV, VPMASKMOV, EVEX forms
// under a mask, VCOMPRESS/VEXPAND, gathers and scatters. SDM vol. 2 per instruction, vol. 1 15.6 (fault
// suppression). Stores check all that they will write before writing.
#include <bit>

#include "engine/dbt/helpers/vector_operand.h"

namespace rhea::dbt::helpers {

namespace {

struct Place {
  cpu::SegIndex segment;
  uint64_t offset;
  uint64_t mask;
  uint64_t wrap = ~uint64_t{0};  // of each element's offset
  uint64_t at(uint64_t distance) const { return (offset + distance) & wrap; }
};

Place place_of(const Core& c, const Insn& insn) {
  return {static_cast<cpu::SegIndex>(insn.mem.seg), effective_offset(c, insn), size_mask(insn.addr_bytes)};
}

// One direction for `elements` elements of `size` bytes where bit i of `active` is set.
bool load_elements(Core& c, const Place& p, uint64_t active, unsigned elements, unsigned size, uint8_t* to) {
  for (unsigned i = 0; i < elements; ++i) {
    if ((active >> i & 1) == 0) continue;
    uint64_t linear;
    if (!cpu::to_linear(c, p.segment, p.at(uint64_t{i} * size), size, false, linear)) return false;
    if (!cpu::read_linear(c, linear, to + i * size, size, cpu::current_privilege(c), p.segment == cpu::SS))
      return false;
  }
  return true;
}

// Outside 64-bit mode the whole operand must be inside its segment, whatever the mask.
bool in_segment(Core& c, const Insn& insn, const Place& p, unsigned bytes) {
  uint64_t linear;
  return insn.code_bits == 64 || cpu::to_linear(c, p.segment, p.offset, bytes, false, linear);
}

bool probe_elements(Core& c, const Place& p, uint64_t active, unsigned elements, unsigned size) {
  for (unsigned i = 0; i < elements; ++i) {
    if ((active >> i & 1) == 0) continue;
    uint64_t linear;
    if (!cpu::to_linear(c, p.segment, p.at(uint64_t{i} * size), size, true, linear)) return false;
    if (!cpu::probe_write(c, linear, size, cpu::current_privilege(c), p.segment == cpu::SS)) return false;
  }
  return true;
}

bool store_elements(Core& c, const Place& p, uint64_t active, unsigned elements, unsigned size,
                    const uint8_t* from) {
  bool stack = p.segment == cpu::SS;
  if (!probe_elements(c, p, active, elements, size)) return false;
  for (unsigned i = 0; i < elements; ++i) {
    if ((active >> i & 1) == 0) continue;
    uint64_t linear;
    if (!cpu::to_linear(c, p.segment, p.at(uint64_t{i} * size), size, true, linear)) return false;
    if (!cpu::write_linear(c, linear, from + i * size, size, cpu::current_privilege(c), stack)) return false;
  }
  return true;
}

// Bit i: the sign bit of element i of a vector register.
uint64_t sign_mask(const FpuImage& image, unsigned reg, unsigned elements, unsigned size) {
  uint8_t bytes[64];
  uint64_t mask = 0;
  read_vector(image, reg, bytes, 64);
  for (unsigned i = 0; i < elements; ++i) mask |= static_cast<uint64_t>(bytes[(i + 1) * size - 1] >> 7) << i;
  return mask;
}

// VEX.L: in the last prefix byte of either form.
unsigned vex_length(const Insn& insn) {
  unsigned i = 0;
  while (i + 2 < insn.length && insn.raw[i] != 0xc4 && insn.raw[i] != 0xc5) ++i;
  return insn.raw[insn.raw[i] == 0xc5 ? i + 1 : i + 2] >> 2 & 1u;
}

}  // namespace

Outcome maskmov(Core& c, const Insn& insn) {
  FpuImage image(c);
  image.materialise();
  uint8_t data[16] = {}, mask_bytes[16] = {};
  bool mmx = insn.encoding == Encoding::Legacy && insn.mandatory != 0x66 && !insn.operand_override;
  unsigned size = mmx ? 8 : 16;
  if (mmx && image.exception_pending()) return done(c.raise(vec::MF));
  auto source = static_cast<unsigned>(insn.reg) & 15, selector = static_cast<unsigned>(insn.rm) & 15;
  if (mmx) {
    std::memcpy(data, image.at(xstate::kSt + 16 * ((source - image.top()) & 7)), 8);
    std::memcpy(mask_bytes, image.at(xstate::kSt + 16 * ((selector - image.top()) & 7)), 8);
  } else {
    read_vector(image, source, data, 16);
    read_vector(image, selector, mask_bytes, 16);
  }
  uint64_t active = 0;
  for (unsigned i = 0; i < size; ++i) active |= static_cast<uint64_t>(mask_bytes[i] >> 7) << i;
  Place p{prefixed_segment(insn), c.s.gpr[cpu::RDI] & size_mask(insn.addr_bytes), size_mask(insn.addr_bytes)};
  if (mmx) {  // as every MMX instruction, even when it faults: TOP is 0 and all registers are valid
    image.set_top(0);
    image.set<uint8_t>(4, 0xff);
    image.mark(xstate::kX87Bit, true);
  }
  uint64_t base =
      insn.code_bits != 64 || p.segment == cpu::FS || p.segment == cpu::GS ? c.s.seg[p.segment].base : 0;
  if (((base + p.offset) & 7) != 0 && alignment_checked(c) && in_segment(c, insn, p, size))
    return done(c.raise(vec::AC, 0));
  // What is not selected is looked at, too, on the CPUs measured.
  if (!probe_elements(c, p, 1, 1, size)) return Outcome::Fault;
  return done(in_segment(c, insn, p, size) && store_elements(c, p, active, size, 1, data));
}

// VZEROALL and VZEROUPPER outside 64-bit mode, where they leave registers 8-15 alone.
Outcome vzero(Core& c, const Insn& insn) {
  FpuImage image(c);
  image.materialise();
  bool all = (vex_length(insn)) != 0;
  for (unsigned reg = 0; reg < 8; ++reg) {
    uint8_t low[16] = {};
    if (!all) read_vector(image, reg, low, sizeof low);
    write_vector(image, reg, low, sizeof low);
  }
  return Outcome::Continue;
}

Outcome vmaskmov(Core& c, const Insn& insn) {
  const VectorOperands& v = vector_operands(insn);
  if (!v.valid) return done(c.raise(vec::UD));
  FpuImage image(c);
  image.materialise();
  bool floating = insn.opcode >= 0x2c && insn.opcode <= 0x2f;
  bool wide = floating ? (insn.opcode & 1) != 0 : insn.rex_w != 0;
  unsigned size = wide ? 8 : 4, elements = v.vector_bytes / size;
  // A load names destination, mask, memory; a store memory, mask, source.
  unsigned mask_register = v.store ? v.data_register : v.second_register;
  unsigned data_register = v.store ? v.second_register : v.data_register;
  uint64_t active = sign_mask(image, mask_register, elements, size);
  uint8_t data[64] = {};
  Place p = place_of(c, insn);
  // Each element's offset wraps by itself where the instruction goes by element (measured; EVEX forms do
  // not).
  if (insn.code_bits == 64) p.wrap = p.mask;
  if (v.store) {
    read_vector(image, data_register, data, v.vector_bytes);
    return done(store_elements(c, p, active, elements, size, data));
  }
  if (!load_elements(c, p, active, elements, size, data)) return Outcome::Fault;
  write_vector(image, data_register, data, v.vector_bytes);
  return Outcome::Continue;
}

namespace {

// Which memory elements the mask asks for.
uint64_t active_elements(const VectorOperands& v, uint64_t mask) {
  if (v.mask_bits < 64) mask &= (uint64_t{1} << v.mask_bits) - 1;
  if (v.compresses) {
    auto count = static_cast<unsigned>(std::popcount(mask));
    return count >= 64 ? ~uint64_t{0} : (uint64_t{1} << count) - 1;
  }
  if (v.whole) return ~uint64_t{0};
  if (v.elements >= v.mask_bits) return mask;
  uint64_t active = 0;
  for (unsigned i = 0; i < v.mask_bits; ++i) active |= (mask >> i & 1) << (i % v.elements);
  return active;
}

}  // namespace

Outcome masked_memory(Core& c, const Insn& insn) {
  const VectorOperands& v = vector_operands(insn);
  if (!v.valid || v.elements == 0 || v.elements > 64) return done(c.raise(vec::UD));
  FpuImage image(c);
  image.materialise();
  uint64_t active = active_elements(v, read_mask(image, v.mask_register));
  unsigned size = v.memory_bytes / v.elements;
  Place p = place_of(c, insn);
  if (v.aligned && active != 0 && !require_alignment(c, insn, v.memory_bytes)) return Outcome::Fault;
  if (active != 0 && alignment_checked(c) && (p.offset & (size - 1u)) != 0) return done(c.raise(vec::AC, 0));
  alignas(64) uint8_t memory[64] = {};
  if (!v.store) {
    return done(load_elements(c, p, active, v.elements, size, memory) && run_natively(c, insn, memory));
  }
  if (active == 0 && v.suppresses) return Outcome::Continue;  // not even its exceptions are looked at
  // Forms without fault suppression (class E6NF) need all of it to be writable.
  if (!v.suppresses && !probe_block(c, insn, 0, v.memory_bytes)) return Outcome::Fault;
  if (!probe_elements(c, p, active, v.elements, size)) return Outcome::Fault;  // MXCSR does not change then
  return done(run_natively(c, insn, memory) && store_elements(c, p, active, v.elements, size, memory));
}

namespace {

struct Vsib {
  unsigned index_size, data_size, count;
  uint8_t indices[64];
};

void write_low(FpuImage& image, unsigned reg, const uint8_t* from, unsigned bytes) {
  uint8_t whole[64];
  read_vector(image, reg, whole, sizeof whole);
  std::memcpy(whole, from, bytes);
  write_vector(image, reg, whole, sizeof whole);
}

void write_cleared(FpuImage& image, unsigned reg, const uint8_t* from, unsigned bytes) {
  write_vector(image, reg, from, bytes);
}

Vsib decode_vsib(const FpuImage& image, const Insn& insn, const VectorOperands& v) {
  Vsib s{};
  s.index_size = (insn.opcode & 1) != 0 ? 8 : 4;
  s.data_size = insn.rex_w != 0 ? 8 : 4;
  s.count = v.vector_bytes / (s.index_size > s.data_size ? s.index_size : s.data_size);
  unsigned index_register = static_cast<unsigned>(insn.mem.index) & 31;
  read_vector(image, index_register, s.indices, 64);
  return s;
}

Place element_place(const Core& c, const Insn& insn, const Vsib& s, unsigned i) {
  Place p = place_of(c, insn);
  uint64_t raw = 0;
  std::memcpy(&raw, s.indices + i * s.index_size, s.index_size);
  auto index = static_cast<uint64_t>(sign_extend(raw, s.index_size));
  p.offset = (p.offset + (index << (insn.mem.scale & 3))) & p.mask;
  return p;
}

}  // namespace

// Elements complete from the least significant one up; a fault leaves the mask of the completed ones clear.
Outcome gather(Core& c, const Insn& insn) {
  const VectorOperands& v = vector_operands(insn);
  if (!v.valid) return done(c.raise(vec::UD));
  FpuImage image(c);
  image.materialise();
  Vsib s = decode_vsib(image, insn, v);
  bool evex = insn.encoding == Encoding::Evex;
  uint64_t active =
      evex ? read_mask(image, v.mask_register) : sign_mask(image, v.second_register, s.count, s.data_size);
  uint8_t data[64] = {}, vex_mask[64] = {};
  read_vector(image, v.data_register, data, s.count * s.data_size);
  if (!evex) read_vector(image, v.second_register, vex_mask, 64);
  bool ok = true, any = false;
  for (unsigned i = 0; i < s.count && ok; ++i) {
    if ((active >> i & 1) != 0)
      ok = load_elements(c, element_place(c, insn, s, i), 1, 1, s.data_size, data + i * s.data_size);
    any = any || (ok && (active >> i & 1) != 0);
    if (ok) active &= ~(uint64_t{1} << i);
    if (ok) std::memset(vex_mask + i * s.data_size, 0, s.data_size);
  }
  if (ok) {
    active = 0;
    std::memset(vex_mask, 0, sizeof vex_mask);
  }
  if (!ok && !any && evex) return Outcome::Fault;
  if (!ok) {     // VEX forms have not cleared what is above the elements yet
    if (evex) {  // nor have those whose indices are wider than the data
      auto write = s.index_size > s.data_size ? write_low : write_cleared;
      write(image, v.data_register, data, s.count * s.data_size);
      write_mask(image, v.mask_register, active);
      return Outcome::Fault;
    }
    write_low(image, v.data_register, data, s.count * s.data_size);
    write_low(image, v.second_register, vex_mask, s.count * s.data_size);
    return Outcome::Fault;
  }
  write_vector(image, v.data_register, data, s.count * s.data_size);
  if (evex) {
    write_mask(image, v.mask_register, active);
  } else {
    write_vector(image, v.second_register, vex_mask, v.vector_bytes);
  }
  return Outcome::Continue;
}

Outcome scatter(Core& c, const Insn& insn) {
  const VectorOperands& v = vector_operands(insn);
  if (!v.valid) return done(c.raise(vec::UD));
  FpuImage image(c);
  image.materialise();
  Vsib s = decode_vsib(image, insn, v);
  uint64_t active = read_mask(image, v.mask_register);
  uint8_t data[64] = {};
  read_vector(image, v.data_register, data, s.count * s.data_size);
  bool ok = true;
  for (unsigned i = 0; i < s.count && ok; ++i) {
    if ((active >> i & 1) == 0) continue;
    ok = store_elements(c, element_place(c, insn, s, i), 1, 1, s.data_size, data + i * s.data_size);
    if (ok) active &= ~(uint64_t{1} << i);
  }
  write_mask(image, v.mask_register, ok ? 0 : active);
  return done(ok);
}

}  // namespace rhea::dbt::helpers
