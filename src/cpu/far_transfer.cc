// Far JMP, CALL and RET. SDM vol. 2 per instruction; vol. 3A 5.8 (privilege), 7.3 (tasks).
#include "cpu/control_transfer.h"
#include "cpu/transfer.h"

namespace rhea::cpu {
namespace {

uint64_t truncate(uint64_t value, unsigned opsize) {
  return opsize == 2 ? value & 0xffff : opsize == 4 ? value & 0xffffffffu : value;
}

bool real_style(const Core& c) {
  return !c.s.protected_mode() || c.s.vm86();
}

void set_code_real_style(Core& c, uint16_t selector, uint64_t offset) {
  if (c.s.vm86()) {
    set_vm86_segment(c, CS, selector);
  } else {
    set_real_segment(c, CS, selector);
  }
  c.s.rip = offset;
  told(c);
}

bool far_real(Core& c, uint16_t selector, uint64_t offset, unsigned opsize, bool call, uint64_t next_rip) {
  offset = truncate(offset, opsize);
  Stack stack = current_stack(c);
  if (call) {
    const uint64_t frame[2] = {c.s.seg[CS].selector, next_rip};
    if (!push_values(c, stack, frame, 2, opsize)) return false;
  }
  if (offset > c.s.seg[CS].limit) return c.raise(vec::GP, 0);
  if (call) set_stack_pointer(c, stack.mask, stack.sp);
  set_code_real_style(c, selector, offset);
  return true;
}

// A code segment named directly, never with a change of privilege.
bool check_direct_code(Core& c, uint16_t selector, const Descriptor& d) {
  uint32_t a = d.attr();
  uint32_t code = selector_code(selector);
  if (is_conforming_code(a)) {
    if (dpl_of(a) > c.s.cpl) return c.raise(vec::GP, code);
  } else if (rpl(selector) > c.s.cpl || dpl_of(a) != c.s.cpl) {
    return c.raise(vec::GP, code);
  }
  if (!is_present(a)) return c.raise(vec::NP, code);
  if (c.s.long_mode() && (a & (attr::kLong | attr::kBig)) == (attr::kLong | attr::kBig))
    return c.raise(vec::GP, code);
  return true;
}

bool far_code(Core& c, uint16_t selector, Descriptor& d, uint64_t offset, unsigned opsize, bool call,
              uint64_t next_rip) {
  if (!check_direct_code(c, selector, d)) return false;
  offset = truncate(offset, opsize);
  Stack stack = current_stack(c);
  if (call) {
    const uint64_t frame[2] = {c.s.seg[CS].selector, next_rip};
    if (!push_values(c, stack, frame, 2, opsize)) return false;
  }
  if (!check_code_offset(c, d.attr(), d.limit_bytes(), offset) || !set_accessed(c, d)) return false;
  if (call) set_stack_pointer(c, stack.mask, stack.sp);
  set_segment(c, CS, static_cast<uint16_t>(selector_code(selector) | c.s.cpl), d);
  c.s.rip = offset;
  told(c);
  return true;
}

bool far_task(Core& c, uint16_t selector, const Descriptor& d, bool call, uint64_t next_rip) {
  uint32_t a = d.attr();
  uint32_t code = selector_code(selector);
  if (dpl_of(a) < c.s.cpl || dpl_of(a) < rpl(selector)) return c.raise(vec::GP, code);
  uint16_t tss = selector;
  if ((a & attr::kTypeMask) == kTaskGate) {
    if (!is_present(a)) return c.raise(vec::NP, code);
    tss = static_cast<uint16_t>(d.low >> 16);
  }
  return task_switch(c, tss, call ? TaskSwitchReason::Call : TaskSwitchReason::Jmp, next_rip, false, 0);
}

bool far_protected(Core& c, uint16_t selector, uint64_t offset, unsigned opsize, bool call,
                   uint64_t next_rip) {
  if (null_selector(selector)) return c.raise(vec::GP, 0);
  Descriptor d;
  if (!fetch_descriptor(c, selector, d)) return false;
  uint32_t a = d.attr();
  if (is_code(a)) return far_code(c, selector, d, offset, opsize, call, next_rip);
  if (!is_segment(a)) {
    switch (a & attr::kTypeMask) {
      case kCallGate16:
        if (c.s.long_mode()) break;
        [[fallthrough]];
      case kCallGate32: return far_through_gate(c, selector, d, call, next_rip);
      case kTaskGate:
      case kTss16:
      case kTss32:
        if (c.s.long_mode()) break;
        return far_task(c, selector, d, call, next_rip);
      default: break;
    }
  }
  return c.raise(vec::GP, selector_code(selector));
}

bool ret_far_real(Core& c, unsigned opsize, uint32_t pop_bytes) {
  Stack stack = current_stack(c);
  uint64_t v[2];
  if (!pop_values(c, stack, v, 2, opsize)) return false;
  if (v[0] > c.s.seg[CS].limit) return c.raise(vec::GP, 0);
  set_stack_pointer(c, stack.mask, (stack.sp + pop_bytes) & stack.mask);
  set_code_real_style(c, static_cast<uint16_t>(v[1]), v[0]);
  return true;
}

// SS:SP of the caller's ring, above the parameters.
bool pop_outer_stack(Core& c, Stack& stack, unsigned opsize, unsigned new_cpl, bool to_64, uint64_t* v,
                     Descriptor& d) {
  if (!pop_values(c, stack, v, 2, opsize)) return false;
  auto ss = static_cast<uint16_t>(v[1]);
  if (null_selector(ss)) return (to_64 && new_cpl != 3 && rpl(ss) == new_cpl) || c.raise(vec::GP, 0);
  return check_return_stack(c, ss, new_cpl, d) && set_accessed(c, d);
}

}  // namespace

bool check_return_code(Core& c, uint16_t selector, Descriptor& d) {
  if (null_selector(selector)) return c.raise(vec::GP, 0);
  if (!fetch_descriptor(c, selector, d)) return false;
  uint32_t a = d.attr();
  uint32_t code = selector_code(selector);
  if (!is_code(a) || rpl(selector) < c.s.cpl) return c.raise(vec::GP, code);
  if (is_conforming_code(a) ? dpl_of(a) > rpl(selector) : dpl_of(a) != rpl(selector))
    return c.raise(vec::GP, code);
  if (c.s.long_mode() && (a & (attr::kLong | attr::kBig)) == (attr::kLong | attr::kBig))
    return c.raise(vec::GP, code);
  if (!is_present(a)) return c.raise(vec::NP, code);
  return true;
}

bool jmp_far(Core& c, uint16_t selector, uint64_t offset, unsigned opsize, uint64_t next_rip) {
  if (real_style(c)) return far_real(c, selector, offset, opsize, false, next_rip);
  return far_protected(c, selector, offset, opsize, false, next_rip);
}

bool call_far(Core& c, uint16_t selector, uint64_t offset, unsigned opsize, uint64_t next_rip) {
  if (real_style(c)) return far_real(c, selector, offset, opsize, true, next_rip);
  return far_protected(c, selector, offset, opsize, true, next_rip);
}

bool ret_far(Core& c, unsigned opsize, uint32_t pop_bytes) {
  if (real_style(c)) return ret_far_real(c, opsize, pop_bytes);
  Stack stack = current_stack(c);
  uint64_t v[4];
  if (!pop_values(c, stack, v, 2, opsize)) return false;
  auto cs = static_cast<uint16_t>(v[1]);
  unsigned new_cpl = rpl(cs);
  Descriptor d;
  if (!check_return_code(c, cs, d)) return false;
  bool to_64 = c.s.long_mode() && (d.attr() & attr::kLong) != 0;
  bool outer = new_cpl != c.s.cpl;
  stack.sp = (stack.sp + pop_bytes) & stack.mask;
  Descriptor stack_d;
  if (outer && !pop_outer_stack(c, stack, opsize, new_cpl, to_64, v + 2, stack_d)) return false;
  if (!check_code_offset(c, d.attr(), d.limit_bytes(), v[0]) || !set_accessed(c, d)) return false;

  set_segment(c, CS, cs, d);
  c.s.rip = v[0];
  c.s.cpl = static_cast<uint8_t>(new_cpl);
  if (outer) {
    auto ss = static_cast<uint16_t>(v[3]);
    if (null_selector(ss)) {
      set_null_segment(c, SS, ss);
    } else {
      set_segment(c, SS, ss, stack_d);
    }
    uint64_t mask = to_64 ? ~0ull : (c.s.seg[SS].attr & attr::kBig) != 0 ? 0xffffffffu : 0xffffu;
    set_stack_pointer(c, mask, (v[2] + pop_bytes) & mask);
    drop_inner_segments(c);
  } else {
    set_stack_pointer(c, stack.mask, stack.sp);
  }
  told(c);
  return true;
}

}  // namespace rhea::cpu
