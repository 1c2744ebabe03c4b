// Far JMP and CALL through call gates of 16, 32 and 64 bits. SDM vol. 3A 5.8.3-5.8.5, vol. 2 "CALL", "JMP".
#include "cpu/control_transfer.h"
#include "cpu/transfer.h"

namespace rhea::cpu {
namespace {

struct Target {
  uint64_t offset;
  uint16_t selector;
  unsigned parameters;
  unsigned size;  // of what is pushed
  Descriptor cs;
};

bool read_target(Core& c, uint16_t selector, Descriptor& gate, bool call, Target& t) {
  uint32_t a = gate.attr();
  uint32_t code = selector_code(selector);
  if (dpl_of(a) < c.s.cpl || dpl_of(a) < rpl(selector)) return c.raise(vec::GP, code);
  if (c.s.long_mode() && !fetch_upper_half(c, selector, gate, vec::GP)) return false;
  if (!is_present(a)) return c.raise(vec::NP, code);
  bool wide = (a & 8) != 0;
  t.size = c.s.long_mode() ? 8 : wide ? 4 : 2;
  t.selector = static_cast<uint16_t>(gate.low >> 16);
  t.offset = (gate.low & 0xffff) | (wide ? gate.high & 0xffff0000u : 0) |
             static_cast<uint64_t>(gate.upper_base) << 32;
  t.parameters = c.s.long_mode() ? 0 : gate.high & 31;
  if (null_selector(t.selector)) return c.raise(vec::GP, 0);
  if (!fetch_descriptor(c, t.selector, t.cs)) return false;
  uint32_t cs = t.cs.attr();
  uint32_t cs_code = selector_code(t.selector);
  if (!is_code(cs) || dpl_of(cs) > c.s.cpl) return c.raise(vec::GP, cs_code);
  if (!call && !is_conforming_code(cs) && dpl_of(cs) != c.s.cpl) return c.raise(vec::GP, cs_code);
  if (c.s.long_mode() && (cs & (attr::kLong | attr::kBig)) != attr::kLong) return c.raise(vec::GP, cs_code);
  if (!is_present(cs)) return c.raise(vec::NP, cs_code);
  return true;
}

void enter_code(Core& c, Target& t, unsigned cpl) {
  set_segment(c, CS, static_cast<uint16_t>(selector_code(t.selector) | cpl), t.cs);
  c.s.rip = t.offset;
  c.s.cpl = static_cast<uint8_t>(cpl);
  told(c);
}

bool to_inner_64(Core& c, Target& t, unsigned cpl, uint64_t next_rip) {
  uint64_t sp;
  if (!stack_from_tss64(c, cpl, 0, sp)) return false;
  Stack stack = new_stack64(sp, cpl);
  const uint64_t frame[4] = {c.s.seg[SS].selector, c.s.gpr[RSP], c.s.seg[CS].selector, next_rip};
  if (!push_values(c, stack, frame, 4, 8)) return false;
  if (!check_code_offset(c, t.cs.attr(), t.cs.limit_bytes(), t.offset) || !set_accessed(c, t.cs))
    return false;
  c.s.gpr[RSP] = stack.sp;
  set_null_segment(c, SS, static_cast<uint16_t>(cpl));
  enter_code(c, t, cpl);
  return true;
}

// Parameters are copied, in their order, from the caller's stack to the new one.
bool copy_parameters(Core& c, Stack& to, const Target& t) {
  Stack from = current_stack(c);
  uint64_t values[31];
  for (unsigned i = 0; i < t.parameters; i++) {
    if (!pop_values(c, from, &values[i], 1, t.size)) return false;
  }
  for (unsigned i = t.parameters; i-- > 0;) {
    if (!push_values(c, to, &values[i], 1, t.size)) return false;
  }
  return true;
}

bool to_inner(Core& c, Target& t, unsigned cpl, uint64_t next_rip) {
  if (c.s.long_mode()) return to_inner_64(c, t, cpl, next_rip);
  uint16_t ss;
  uint64_t sp;
  Descriptor d;
  if (!inner_stack_from_tss(c, cpl, ss, sp, d)) return false;
  Stack stack = new_stack(d, ss, sp, cpl);
  const uint64_t caller_stack[2] = {c.s.seg[SS].selector, c.s.gpr[RSP]};
  const uint64_t caller[2] = {c.s.seg[CS].selector, next_rip};
  if (!push_values(c, stack, caller_stack, 2, t.size) || !copy_parameters(c, stack, t)) return false;
  if (!push_values(c, stack, caller, 2, t.size)) return false;
  if (t.offset > t.cs.limit_bytes()) return c.raise(vec::GP, 0);
  if (!set_accessed(c, t.cs) || !set_accessed(c, d)) return false;
  set_segment(c, SS, ss, d);
  c.s.gpr[RSP] = stack.mask == 0xffff ? (sp & ~0xffffull) | stack.sp : stack.sp;
  enter_code(c, t, cpl);
  return true;
}

}  // namespace

bool far_through_gate(Core& c, uint16_t selector, Descriptor& gate, bool call, uint64_t next_rip) {
  Target t;
  if (!read_target(c, selector, gate, call, t)) return false;
  uint32_t cs = t.cs.attr();
  if (call && !is_conforming_code(cs) && dpl_of(cs) < c.s.cpl) return to_inner(c, t, dpl_of(cs), next_rip);
  Stack stack = current_stack(c);
  if (call) {
    // The frame of a 64-bit gate is of 64-bit words even when compatibility-mode code calls.
    const uint64_t frame[2] = {c.s.seg[CS].selector, next_rip};
    if (!push_values(c, stack, frame, 2, t.size)) return false;
  }
  if (!check_code_offset(c, cs, t.cs.limit_bytes(), t.offset) || !set_accessed(c, t.cs)) return false;
  if (call) set_stack_pointer(c, stack.mask, stack.sp);
  enter_code(c, t, c.s.cpl);
  return true;
}

}  // namespace rhea::cpu
