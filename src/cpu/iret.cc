// IRET in every mode. SDM vol. 2 "IRET/IRETD/IRETQ", vol. 3A 7.3 (nested tasks), vol. 3B 21.2 (virtual-8086).
#include "cpu/control_transfer.h"
#include "cpu/transfer.h"

namespace rhea::cpu {
namespace {

using namespace rflags;

constexpr uint64_t kAlways = kStatus | TF | DF | NT;

// Which flags an IRET at the current privilege changes.
uint64_t changeable_flags(const Core& c, unsigned opsize) {
  uint64_t mask = kAlways;
  if (opsize != 2) mask |= RF | AC | ID;
  if (c.s.cpl <= c.s.iopl()) mask |= IF;
  if (c.s.cpl == 0) mask |= IOPL | (opsize != 2 ? VIF | VIP : 0);
  return mask;
}

void merge_flags(Core& c, uint64_t value, uint64_t mask) {
  c.s.set_rflags((c.s.rflags() & ~mask) | (value & mask));
}

bool finish(Core& c) {
  c.s.interrupt_shadow = 0;
  c.s.shadow_is_mov_ss = 0;
  told(c);
  return true;
}

bool iret_real(Core& c, unsigned opsize) {
  Stack stack = current_stack(c);
  uint64_t v[3];
  if (!pop_values(c, stack, v, 3, opsize)) return false;
  if (v[0] > c.s.seg[CS].limit) return c.raise(vec::GP, 0);
  set_stack_pointer(c, stack.mask, stack.sp);
  set_real_segment(c, CS, static_cast<uint16_t>(v[1]));
  c.s.rip = v[0];
  merge_flags(c, v[2], opsize == 2 ? kAlways | IF | IOPL : kAlways | IF | IOPL | RF | AC | ID);
  return finish(c);
}

bool iret_vm86(Core& c, unsigned opsize) {
  bool extended = c.s.iopl() < 3;  // virtual-8086 mode extensions
  if (extended && (opsize != 2 || (c.s.cr4 & cr4::VME) == 0)) return c.raise(vec::GP, 0);
  Stack stack = current_stack(c);
  uint64_t v[3];
  if (!pop_values(c, stack, v, 3, opsize)) return false;
  if (extended && ((v[2] & TF) != 0 || ((c.s.system_flags & VIP) != 0 && (v[2] & IF) != 0)))
    return c.raise(vec::GP, 0);
  if (v[0] > 0xffff) return c.raise(vec::GP, 0);
  set_stack_pointer(c, stack.mask, stack.sp);
  set_vm86_segment(c, CS, static_cast<uint16_t>(v[1]));
  c.s.rip = v[0];
  if (extended) {
    merge_flags(c, v[2], kAlways);
    merge_flags(c, (v[2] & IF) != 0 ? VIF : 0, VIF);
  } else {
    merge_flags(c, v[2], opsize == 2 ? kAlways | IF : kAlways | IF | RF | AC | ID);
  }
  return finish(c);
}

// Ring 0 returns to a virtual-8086 task: ESP, SS, ES, DS, FS and GS follow on the stack.
bool return_to_vm86(Core& c, Stack& stack, const uint64_t* v) {
  uint64_t w[6];
  if (!pop_values(c, stack, w, 6, 4)) return false;
  if (v[0] > 0xffff) return c.raise(vec::GP, 0);
  merge_flags(c, v[2], kAlways | IF | IOPL | RF | AC | ID | VIF | VIP | VM);
  c.s.rip = v[0];
  c.s.gpr[RSP] = w[0];
  set_vm86_segment(c, CS, static_cast<uint16_t>(v[1]));
  set_vm86_segment(c, SS, static_cast<uint16_t>(w[1]));
  set_vm86_segment(c, ES, static_cast<uint16_t>(w[2]));
  set_vm86_segment(c, DS, static_cast<uint16_t>(w[3]));
  set_vm86_segment(c, FS, static_cast<uint16_t>(w[4]));
  set_vm86_segment(c, GS, static_cast<uint16_t>(w[5]));
  c.s.cpl = 3;
  return finish(c);
}

bool task_return(Core& c, uint64_t next_rip) {
  if (c.s.long_mode()) return c.raise(vec::GP, 0);
  uint16_t link;
  if (!read_linear(c, wrap_linear(c, c.s.seg[TR].base), link, Privilege::Implicit)) return false;
  if (!task_switch(c, link, TaskSwitchReason::Iret, next_rip, false, 0)) return false;
  return finish(c);
}

// The stack an outer (or, from 64-bit code, any) return goes to.
bool check_stack(Core& c, uint16_t selector, unsigned new_cpl, bool to_64, Descriptor& d) {
  if (null_selector(selector))
    return (to_64 && new_cpl != 3 && rpl(selector) == new_cpl) || c.raise(vec::GP, 0);
  return check_return_stack(c, selector, new_cpl, d) && set_accessed(c, d);
}

bool iret_protected(Core& c, unsigned opsize, uint64_t next_rip) {
  if ((c.s.system_flags & NT) != 0) return task_return(c, next_rip);
  bool from_64 = c.s.code64();
  Stack stack = current_stack(c);
  uint64_t v[5];
  if (!pop_values(c, stack, v, from_64 ? 5 : 3, opsize)) return false;
  if ((v[2] & VM) != 0 && opsize == 4 && c.s.cpl == 0 && !c.s.long_mode()) return return_to_vm86(c, stack, v);

  auto cs = static_cast<uint16_t>(v[1]);
  unsigned new_cpl = rpl(cs);
  Descriptor d;
  if (!check_return_code(c, cs, d)) return false;
  bool to_64 = c.s.long_mode() && (d.attr() & attr::kLong) != 0;
  bool outer = new_cpl != c.s.cpl;
  if (outer && !from_64 && !pop_values(c, stack, v + 3, 2, opsize)) return false;
  auto ss = static_cast<uint16_t>(v[4]);
  Descriptor stack_d;
  if ((outer || from_64) && !check_stack(c, ss, new_cpl, to_64, stack_d)) return false;
  if (!check_code_offset(c, d.attr(), d.limit_bytes(), v[0]) || !set_accessed(c, d)) return false;

  merge_flags(c, v[2], changeable_flags(c, opsize));
  set_segment(c, CS, cs, d);
  c.s.rip = v[0];
  c.s.cpl = static_cast<uint8_t>(new_cpl);
  if (outer || from_64) {
    if (null_selector(ss)) {
      set_null_segment(c, SS, ss);
    } else {
      set_segment(c, SS, ss, stack_d);
    }
    uint64_t mask = to_64 ? ~0ull : (c.s.seg[SS].attr & attr::kBig) != 0 ? 0xffffffffu : 0xffffu;
    set_stack_pointer(c, mask, v[3]);
  } else {
    set_stack_pointer(c, stack.mask, stack.sp);
  }
  if (outer) drop_inner_segments(c);
  return finish(c);
}

}  // namespace

bool iret(Core& c, unsigned opsize, uint64_t next_rip) {
  c.s.nmi_blocked = 0;
  if (!c.s.protected_mode()) return iret_real(c, opsize);
  if (c.s.vm86()) return iret_vm86(c, opsize);
  return iret_protected(c, opsize, next_rip);
}

}  // namespace rhea::cpu
