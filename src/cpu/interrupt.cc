// Interrupt and exception delivery. SDM vol. 3A chapter 6 (6.11-6.15), vol. 2 "INT n", vol. 3B 21.2 (VM86).
//
// One attempt enters one handler or records the fault that prevented it; deliver_event() then applies the
// double and triple fault rules and tries the next one. Core::s changes only when an attempt succeeds (a task
// switch apart, whose faults belong to the new task). Missing: CET shadow stacks.
#include "cpu/control_transfer.h"
#include "cpu/transfer.h"

namespace rhea::cpu {
namespace {

bool from_program(const Event& e) {
  return e.kind == EventKind::SoftwareInt || e.kind == EventKind::Int3OrInto;
}

struct Gate {
  uint64_t offset;
  uint16_t selector;
  uint8_t type;
  uint8_t ist;
};

// The error code of a fault that concerns the IDT entry itself.
uint32_t idt_code(const Event& e) {
  return e.vector * 8u + 2;
}

bool read_gate(Core& c, const Event& e, Gate& g) {
  bool wide = c.s.long_mode();
  uint32_t size = wide ? 16 : 8;
  if (e.vector * size + size - 1 > c.s.idtr.limit) return c.raise(vec::GP, idt_code(e));
  uint64_t words[2];
  if (!read_linear(c, wrap_linear(c, c.s.idtr.base + e.vector * size), words, size, Privilege::Implicit))
    return false;
  uint64_t low = words[0];
  unsigned type = low >> 40 & 0x1f;
  bool plain = type == kInterruptGate32 || type == kTrapGate32;
  if (!plain && (wide || (type != kTaskGate && type != kInterruptGate16 && type != kTrapGate16))) {
    return c.raise(vec::GP, idt_code(e));
  }
  if (from_program(e) && (low >> 45 & 3) < c.s.cpl) return c.raise(vec::GP, idt_code(e));
  if ((low >> 47 & 1) == 0) return c.raise(vec::NP, idt_code(e));
  g.selector = static_cast<uint16_t>(low >> 16);
  g.type = static_cast<uint8_t>(type);
  g.ist = wide ? low >> 32 & 7 : 0;
  g.offset = (low & 0xffff) | (low >> 32 & 0xffff0000u);
  if (wide) g.offset |= words[1] << 32;
  if (type == kInterruptGate16 || type == kTrapGate16) g.offset &= 0xffff;
  return true;
}

// The handler's code segment and the ring it runs in.
bool check_handler(Core& c, const Gate& g, Descriptor& cs, unsigned& new_cpl) {
  if (null_selector(g.selector)) return c.raise(vec::GP, 0);
  if (!fetch_descriptor(c, g.selector, cs)) return false;
  uint32_t a = cs.attr();
  uint32_t code = selector_code(g.selector);
  if (!is_code(a) || dpl_of(a) > c.s.cpl) return c.raise(vec::GP, code);
  if (c.s.long_mode() && (a & (attr::kLong | attr::kBig)) != attr::kLong) return c.raise(vec::GP, code);
  if (!is_present(a)) return c.raise(vec::NP, code);
  new_cpl = is_conforming_code(a) ? c.s.cpl : dpl_of(a);
  // From virtual-8086 mode only to ring 0.
  if (c.s.vm86() && new_cpl != 0) return c.raise(vec::GP, code);
  return true;
}

// What delivery does to the flags once the frame is on the stack.
void enter_flags(Core& c, bool interrupt_gate) {
  c.s.system_flags &= static_cast<uint32_t>(~(rflags::TF | rflags::VM | rflags::RF | rflags::NT));
  if (interrupt_gate) c.s.interrupt_flag = 0;
}

bool attempt_real(Core& c, const Event& e, uint64_t flags) {
  if (e.vector * 4u + 3 > c.s.idtr.limit) return c.raise(vec::GP, idt_code(e));
  uint32_t target;
  if (!read_linear(c, (c.s.idtr.base + e.vector * 4u) & 0xffffffffu, target, Privilege::Supervisor))
    return false;
  Stack stack = current_stack(c);
  const uint64_t frame[3] = {flags, c.s.seg[CS].selector, e.return_rip};
  if (!push_values(c, stack, frame, 3, 2)) return false;
  set_stack_pointer(c, stack.mask, stack.sp);
  c.s.interrupt_flag = 0;
  c.s.system_flags &= static_cast<uint32_t>(~(rflags::TF | rflags::AC | rflags::RF));
  set_real_segment(c, CS, static_cast<uint16_t>(target >> 16));
  c.s.rip = target & 0xffff;
  return true;
}

bool attempt_long(Core& c, const Event& e, uint64_t flags) {
  Gate g;
  Descriptor cs;
  unsigned new_cpl;
  if (!read_gate(c, e, g) || !check_handler(c, g, cs, new_cpl)) return false;
  bool inner = new_cpl != c.s.cpl;
  uint64_t sp = c.s.gpr[RSP];
  if ((inner || g.ist != 0) && !stack_from_tss64(c, new_cpl, g.ist, sp)) return false;
  if (!is_canonical(c, g.offset)) return c.raise(vec::GP, 0);
  Stack stack = new_stack64(sp & ~15ull, new_cpl);
  const uint64_t frame[6] = {c.s.seg[SS].selector, c.s.gpr[RSP], flags,
                             c.s.seg[CS].selector, e.return_rip, e.code};
  if (!push_values(c, stack, frame, e.has_code ? 6 : 5, 8) || !set_accessed(c, cs)) return false;
  c.s.gpr[RSP] = stack.sp;
  set_segment(c, CS, static_cast<uint16_t>(selector_code(g.selector) | new_cpl), cs);
  c.s.rip = g.offset;
  if (inner) {
    c.s.cpl = static_cast<uint8_t>(new_cpl);
    set_null_segment(c, SS, static_cast<uint16_t>(new_cpl));
  }
  enter_flags(c, g.type == kInterruptGate32);
  return true;
}

bool deliver_inner(Core& c, const Event& e, const Gate& g, Descriptor& cs, unsigned new_cpl, uint64_t flags) {
  uint16_t ss;
  uint64_t sp;
  Descriptor d;
  if (!inner_stack_from_tss(c, new_cpl, ss, sp, d)) return false;
  Stack stack = new_stack(d, ss, sp, new_cpl);
  uint64_t frame[10];
  unsigned n = 0;
  bool vm86 = c.s.vm86();
  if (vm86) {
    for (SegIndex i : {GS, FS, DS, ES}) frame[n++] = c.s.seg[i].selector;
  }
  frame[n++] = c.s.seg[SS].selector;
  frame[n++] = c.s.gpr[RSP];
  frame[n++] = flags;
  frame[n++] = c.s.seg[CS].selector;
  frame[n++] = e.return_rip;
  if (e.has_code) frame[n++] = e.code;
  unsigned size = (g.type & 8) != 0 ? 4 : 2;
  if (!push_values(c, stack, frame, n, size)) return false;
  if (g.offset > cs.limit_bytes()) return c.raise(vec::GP, 0);
  if (!set_accessed(c, cs) || !set_accessed(c, d)) return false;
  if (vm86) {
    for (SegIndex i : {ES, DS, FS, GS}) set_null_segment(c, i, 0);
  }
  set_segment(c, SS, ss, d);
  c.s.gpr[RSP] = stack.mask == 0xffff ? (sp & ~0xffffull) | stack.sp : stack.sp;
  c.s.cpl = static_cast<uint8_t>(new_cpl);
  return true;
}

bool deliver_same(Core& c, const Event& e, const Gate& g, Descriptor& cs, uint64_t flags) {
  Stack stack = current_stack(c);
  const uint64_t frame[4] = {flags, c.s.seg[CS].selector, e.return_rip, e.code};
  if (!push_values(c, stack, frame, e.has_code ? 4 : 3, (g.type & 8) != 0 ? 4 : 2)) return false;
  if (g.offset > cs.limit_bytes()) return c.raise(vec::GP, 0);
  if (!set_accessed(c, cs)) return false;
  set_stack_pointer(c, stack.mask, stack.sp);
  return true;
}

bool attempt_protected(Core& c, const Event& e, uint64_t flags) {
  Gate g;
  if (!read_gate(c, e, g)) return false;
  if (g.type == kTaskGate) {
    uint32_t before = c.s.system_flags;
    uint16_t old_task = c.s.seg[TR].selector;
    c.s.system_flags |= static_cast<uint32_t>(flags & rflags::RF);  // for the image of the old task
    if (task_switch(c, g.selector, TaskSwitchReason::Gate, e.return_rip, e.has_code, e.code)) return true;
    if (c.s.seg[TR].selector == old_task) c.s.system_flags = before;
    return false;
  }
  Descriptor cs;
  unsigned new_cpl;
  if (!check_handler(c, g, cs, new_cpl)) return false;
  if (new_cpl != c.s.cpl ? !deliver_inner(c, e, g, cs, new_cpl, flags) : !deliver_same(c, e, g, cs, flags))
    return false;
  set_segment(c, CS, static_cast<uint16_t>(selector_code(g.selector) | new_cpl), cs);
  c.s.rip = g.offset;
  enter_flags(c, g.type == kInterruptGate16 || g.type == kInterruptGate32);
  return true;
}

bool attempt(Core& c, const Event& e, bool resume_flag) {
  uint64_t flags = c.s.rflags() | (resume_flag ? rflags::RF : 0);
  // Instructions clear RF when they start; what they push is that.
  if (from_program(e) || e.kind == EventKind::Int1) flags &= ~rflags::RF;
  if (c.s.long_mode()) return attempt_long(c, e, flags);
  if (c.s.protected_mode()) return attempt_protected(c, e, flags);
  return attempt_real(c, e, flags);
}

enum class Severity : uint8_t { Benign, Contributory, PageFault, DoubleFault };

Severity severity(uint8_t vector) {  // SDM vol. 3A table 6-4
  switch (vector) {
    case vec::DE:
    case vec::TS:
    case vec::NP:
    case vec::SS:
    case vec::GP: return Severity::Contributory;
    case vec::PF: return Severity::PageFault;
    case vec::DF: return Severity::DoubleFault;
    default: return Severity::Benign;
  }
}

bool becomes_double(Severity first, Severity second) {  // SDM vol. 3A table 6-5
  if (first == Severity::Contributory) return second == Severity::Contributory;
  return first == Severity::PageFault && (second == Severity::Contributory || second == Severity::PageFault);
}

// Faults push RF set so that the restarted instruction does not hit its breakpoint again; traps do not. #DB
// is decided by the caller. (#DF, formally an abort, is seen with RF set on processors.)
bool pushes_resume_flag(uint8_t vector) {
  constexpr uint32_t kFaults = 1u << vec::DE | 1u << vec::BR | 1u << vec::UD | 1u << vec::NM | 1u << vec::DF |
                               1u << vec::TS | 1u << vec::NP | 1u << vec::SS | 1u << vec::GP | 1u << vec::PF |
                               1u << vec::MF | 1u << vec::AC | 1u << vec::XM;
  return vector < 32 && (kFaults >> vector & 1) != 0;
}

}  // namespace

bool deliver_event(Core& c, const Event& first, bool resume_flag) {
  Event e = first;
  // An event from outside arrives at its return address, an instruction's own at the instruction.
  if (e.kind == EventKind::External || e.kind == EventKind::Exception) c.s.rip = e.return_rip;
  while (!attempt(c, e, resume_flag)) {
    Fault f = c.fault;
    if (f.vector == vec::PF) c.s.cr2 = f.address;
    Severity before = e.kind == EventKind::Exception ? severity(e.vector) : Severity::Benign;
    if (before == Severity::DoubleFault) {
      c.fault = {.vector = kShutdown, .has_code = false, .code = 0, .address = 0, .dr6 = 0};
      return false;
    }
    bool selector_fault = f.vector >= vec::TS && f.vector <= vec::GP;
    if (selector_fault && !from_program(e)) f.code |= 1;  // EXT
    bool twice = becomes_double(before, severity(f.vector));
    e = {.kind = EventKind::Exception,
         .vector = twice ? vec::DF : f.vector,
         .has_code = twice || f.has_code,
         .code = twice ? 0 : f.code,
         .return_rip = c.s.rip};
    resume_flag = pushes_resume_flag(e.vector);
  }
  if (e.kind == EventKind::External && e.vector == vec::NMI) c.s.nmi_blocked = 1;
  c.s.interrupt_shadow = 0;
  c.s.shadow_is_mov_ss = 0;
  told(c);
  return true;
}

bool deliver(Core& c, Event e) {
  return deliver_event(c, e, e.kind == EventKind::Exception && pushes_resume_flag(e.vector));
}

bool deliver_fault(Core& c) {
  Fault f = c.fault;
  if (f.vector == kShutdown) return false;
  bool resume_flag = pushes_resume_flag(f.vector);
  if (f.vector == vec::PF) {
    c.s.cr2 = f.address;
  } else if (f.vector == vec::DB) {
    constexpr uint64_t kGeneralDetect = 1 << 13, kDebugBits = 0xe00f;
    c.s.dr[6] |= f.dr6 & kDebugBits;
    c.s.dr[7] &= ~kGeneralDetect;  // DR7.GD, the same bit number
    c.s.debugctl &= ~1ull;         // LBR
    // An instruction breakpoint is a fault whose handler sets RF itself.
    resume_flag = (f.dr6 & kGeneralDetect) != 0;
  }
  return deliver_event(c,
                       {.kind = EventKind::Exception,
                        .vector = f.vector,
                        .has_code = f.has_code,
                        .code = f.code,
                        .return_rip = c.s.rip},
                       resume_flag);
}

}  // namespace rhea::cpu
