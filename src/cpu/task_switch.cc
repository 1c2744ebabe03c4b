// Hardware task switching through 16- and 32-bit TSSs. SDM vol. 3A chapter 7 (7.2.1, 7.3, table 7-2).
//
// Order: the checks of the new TSS descriptor and that both TSSs can be reached, then the old state is saved,
// busy bits, NT and the link are set, TR and the registers loaded (the point of no return: later faults
// belong to the new task and find its EIP in Core::s.rip), then the segment descriptors are checked: #TS,
// #NP, #SS with the selector.
#include "cpu/control_transfer.h"
#include "cpu/transfer.h"

namespace rhea::cpu {
namespace {

constexpr unsigned kSize32 = 104, kSize16 = 44;

// A TSS as either format holds it. Order of gpr: EAX ECX EDX EBX ESP EBP ESI EDI, of seg: ES CS SS DS FS GS.
struct TaskImage {
  uint32_t cr3, eip, eflags;
  uint32_t gpr[8];
  uint16_t seg[6];
  uint16_t ldt;
  uint16_t debug_trap;
};

bool wide_tss(uint32_t a) {
  return (a & 8) != 0;
}

bool read32(Core& c, uint64_t at, uint32_t& v) {
  return read_linear(c, wrap_linear(c, at), v, Privilege::Implicit);
}
bool read16(Core& c, uint64_t at, uint16_t& v) {
  return read_linear(c, wrap_linear(c, at), v, Privilege::Implicit);
}
bool write32(Core& c, uint64_t at, uint32_t v) {
  return write_linear(c, wrap_linear(c, at), v, Privilege::Implicit);
}
bool write16(Core& c, uint64_t at, uint16_t v) {
  return write_linear(c, wrap_linear(c, at), v, Privilege::Implicit);
}

bool load_image32(Core& c, uint64_t base, TaskImage& t) {
  if (!read32(c, base + 28, t.cr3) || !read32(c, base + 32, t.eip) || !read32(c, base + 36, t.eflags))
    return false;
  for (unsigned i = 0; i < 8; i++) {
    if (!read32(c, base + 40 + i * 4, t.gpr[i])) return false;
  }
  for (unsigned i = 0; i < 6; i++) {
    if (!read16(c, base + 72 + i * 4, t.seg[i])) return false;
  }
  return read16(c, base + 96, t.ldt) && read16(c, base + 100, t.debug_trap);
}

bool load_image16(Core& c, uint64_t base, TaskImage& t) {
  uint16_t v;
  if (!read16(c, base + 14, v)) return false;
  t.eip = v;
  if (!read16(c, base + 16, v)) return false;
  t.eflags = v;
  for (unsigned i = 0; i < 8; i++) {
    if (!read16(c, base + 18 + i * 2, v)) return false;
    t.gpr[i] = v | 0xffff0000u;  // the upper halves read as ones after a 16-bit switch
  }
  for (unsigned i = 0; i < 4; i++) {
    if (!read16(c, base + 34 + i * 2, t.seg[i])) return false;
  }
  t.seg[4] = t.seg[5] = 0;
  t.cr3 = 0;
  t.debug_trap = 0;
  return read16(c, base + 42, t.ldt);
}

// EIP, EFLAGS, general and segment registers into the TSS of the task that is left.
bool save_old(Core& c, uint32_t eip, uint32_t eflags) {
  const Segment& tr = c.s.seg[TR];
  constexpr SegIndex kOrder[] = {ES, CS, SS, DS, FS, GS};
  if (wide_tss(tr.attr)) {
    if (!write32(c, tr.base + 32, eip) || !write32(c, tr.base + 36, eflags)) return false;
    for (unsigned i = 0; i < 8; i++) {
      if (!write32(c, tr.base + 40 + i * 4, static_cast<uint32_t>(c.s.gpr[i]))) return false;
    }
    for (unsigned i = 0; i < 6; i++) {
      if (!write16(c, tr.base + 72 + i * 4, c.s.seg[kOrder[i]].selector)) return false;
    }
    return true;
  }
  if (!write16(c, tr.base + 14, static_cast<uint16_t>(eip))) return false;
  if (!write16(c, tr.base + 16, static_cast<uint16_t>(eflags))) return false;
  for (unsigned i = 0; i < 8; i++) {
    if (!write16(c, tr.base + 18 + i * 2, static_cast<uint16_t>(c.s.gpr[i]))) return false;
  }
  for (unsigned i = 0; i < 4; i++) {
    if (!write16(c, tr.base + 34 + i * 2, c.s.seg[kOrder[i]].selector)) return false;
  }
  return true;
}

bool load_new_ldt(Core& c, uint16_t selector) {
  set_null_segment(c, LDTR, selector);
  if (null_selector(selector)) return true;
  uint32_t code = selector_code(selector);
  Descriptor d;
  if ((selector & 4) != 0) return c.raise(vec::TS, code);
  if (!fetch_descriptor(c, selector, d, vec::TS)) return false;
  uint32_t a = d.attr();
  if (is_segment(a) || (a & attr::kTypeMask) != kLdt || !is_present(a)) return c.raise(vec::TS, code);
  set_segment(c, LDTR, selector, d);
  return true;
}

bool load_new_cs(Core& c, uint16_t selector) {
  if (null_selector(selector)) return c.raise(vec::TS, 0);
  uint32_t code = selector_code(selector);
  Descriptor d;
  if (!fetch_descriptor(c, selector, d, vec::TS)) return false;
  uint32_t a = d.attr();
  if (!is_code(a)) return c.raise(vec::TS, code);
  if (is_conforming_code(a) ? dpl_of(a) > rpl(selector) : dpl_of(a) != rpl(selector))
    return c.raise(vec::TS, code);
  if (!is_present(a)) return c.raise(vec::NP, code);
  if (!set_accessed(c, d)) return false;
  set_segment(c, CS, selector, d);
  return true;
}

bool load_new_ss(Core& c, uint16_t selector) {
  if (null_selector(selector)) return c.raise(vec::TS, 0);
  uint32_t code = selector_code(selector);
  Descriptor d;
  if (!fetch_descriptor(c, selector, d, vec::TS)) return false;
  uint32_t a = d.attr();
  if (!is_writable_data(a) || dpl_of(a) != c.s.cpl || rpl(selector) != c.s.cpl) return c.raise(vec::TS, code);
  if (!is_present(a)) return c.raise(vec::SS, code);
  if (!set_accessed(c, d)) return false;
  set_segment(c, SS, selector, d);
  return true;
}

bool load_new_data(Core& c, SegIndex index, uint16_t selector) {
  if (null_selector(selector)) return true;
  uint32_t code = selector_code(selector);
  Descriptor d;
  if (!fetch_descriptor(c, selector, d, vec::TS)) return false;
  uint32_t a = d.attr();
  if (!is_segment(a) || (is_code(a) && (a & attr::kReadable) == 0)) return c.raise(vec::TS, code);
  if (!is_conforming_code(a) && (rpl(selector) > dpl_of(a) || c.s.cpl > dpl_of(a)))
    return c.raise(vec::TS, code);
  if (!is_present(a)) return c.raise(vec::NP, code);
  if (!set_accessed(c, d)) return false;
  set_segment(c, index, selector, d);
  return true;
}

bool load_new_segments(Core& c, const TaskImage& t) {
  constexpr SegIndex kOrder[] = {ES, CS, SS, DS, FS, GS};
  for (unsigned i = 0; i < 6; i++) set_null_segment(c, kOrder[i], t.seg[i]);
  if (!load_new_ldt(c, t.ldt)) return false;
  if (c.s.vm86()) {
    c.s.cpl = 3;
    for (unsigned i = 0; i < 6; i++) set_vm86_segment(c, kOrder[i], t.seg[i]);
    return true;
  }
  c.s.cpl = static_cast<uint8_t>(rpl(t.seg[1]));
  if (!load_new_cs(c, t.seg[1]) || !load_new_ss(c, t.seg[2])) return false;
  return load_new_data(c, ES, t.seg[0]) && load_new_data(c, DS, t.seg[3]) && load_new_data(c, FS, t.seg[4]) &&
         load_new_data(c, GS, t.seg[5]);
}

// The new TSS's descriptor (SDM table 7-2, the checks before the switch).
bool check_tss(Core& c, uint16_t selector, TaskSwitchReason reason, Descriptor& d) {
  bool back = reason == TaskSwitchReason::Iret;
  uint8_t vector = back ? vec::TS : vec::GP;
  uint32_t code = selector_code(selector);
  if ((selector & 4) != 0 || null_selector(selector)) return c.raise(vector, code);
  if (!fetch_descriptor(c, selector, d, vector)) return false;
  uint32_t a = d.attr();
  uint32_t type = a & attr::kTypeMask;
  bool busy = (type & kTssBusyBit) != 0;
  if (is_segment(a) || ((type & ~kTssBusyBit) != kTss16 && (type & ~kTssBusyBit) != kTss32))
    return c.raise(vector, code);
  if (busy != back) return c.raise(vector, code);
  if (!is_present(a)) return c.raise(vec::NP, code);
  if (d.limit_bytes() < (wide_tss(a) ? kSize32 : kSize16) - 1) return c.raise(vec::TS, code);
  return true;
}

bool load_new_cr3(Core& c, uint32_t value) {
  if ((c.s.cr0 & cr0::PG) == 0) return true;
  bool good = (c.s.cr4 & cr4::PAE) == 0 || load_pdptes(c, value);
  c.s.cr3 = value;
  c.hooks->flush_tlb(c, false);
  return good;
}

bool push_error_code(Core& c, uint32_t code, bool wide) {
  Stack stack = current_stack(c);
  const uint64_t value = code;
  if (!push_values(c, stack, &value, 1, wide ? 4 : 2)) return false;
  set_stack_pointer(c, stack.mask, stack.sp);
  return true;
}

bool both_reachable(Core& c, const Descriptor& d) {
  const Segment& old = c.s.seg[TR];
  unsigned old_size = wide_tss(old.attr) ? kSize32 : kSize16;
  unsigned new_size = wide_tss(d.attr()) ? kSize32 : kSize16;
  if (!old.usable() || old.limit < old_size - 1) return c.raise(vec::TS, selector_code(old.selector));
  for (uint32_t at = 0; at < old_size; at += 52) {
    if (!probe_write(c, wrap_linear(c, old.base + at), at + 52 <= old_size ? 52 : old_size - at,
                     Privilege::Implicit))
      return false;
  }
  uint8_t byte;
  return read_linear(c, wrap_linear(c, d.base32()), byte, Privilege::Implicit) &&
         read_linear(c, wrap_linear(c, d.base32() + new_size - 1), byte, Privilege::Implicit);
}

void load_registers(Core& c, const TaskImage& t, bool wide) {
  for (unsigned i = 0; i < 8; i++) c.s.gpr[i] = t.gpr[i];
  constexpr uint64_t kSixteen = 0xffff;
  uint64_t flags = wide ? t.eflags : (c.s.rflags() & ~kSixteen & ~rflags::VM) | (t.eflags & kSixteen);
  c.s.set_rflags(flags);
  c.s.rip = t.eip;
}

}  // namespace

bool task_switch(Core& c, uint16_t tss_selector, TaskSwitchReason reason, uint64_t next_rip, bool has_code,
                 uint32_t code) {
  Descriptor d;
  if (!check_tss(c, tss_selector, reason, d) || !both_reachable(c, d)) return false;
  bool wide = wide_tss(d.attr());
  bool nested = reason == TaskSwitchReason::Call || reason == TaskSwitchReason::Gate;
  Segment old = c.s.seg[TR];
  TaskImage t;
  if (!(wide ? load_image32(c, d.base32(), t) : load_image16(c, d.base32(), t))) return false;

  uint64_t old_flags = c.s.rflags();
  if (reason == TaskSwitchReason::Iret) old_flags &= ~rflags::NT;
  if (!save_old(c, static_cast<uint32_t>(next_rip), static_cast<uint32_t>(old_flags))) return false;
  if (!nested) {
    uint64_t old_address = wrap_linear(c, c.s.gdtr.base + (old.selector & 0xfff8u));
    if (!set_tss_busy(c, old_address, false)) return false;
  }
  if (nested && !write16(c, d.base32(), old.selector)) return false;
  if (reason != TaskSwitchReason::Iret && !set_tss_busy(c, d.address, true)) return false;
  d.high |= kTssBusyBit << 8;

  set_segment(c, TR, tss_selector, d);
  c.s.cr0 |= cr0::TS;
  c.s.dr[7] &= ~0x155ull;  // local breakpoint enables and LE
  load_registers(c, t, wide);
  if (nested) c.s.system_flags |= static_cast<uint32_t>(rflags::NT);
  bool good = (!wide || load_new_cr3(c, t.cr3)) && load_new_segments(c, t);
  if (good && has_code) good = push_error_code(c, code, wide);
  if (good && t.eip > c.s.seg[CS].limit) good = c.raise(vec::GP, 0);
  told(c);
  if (good && (t.debug_trap & 1) != 0) {
    constexpr uint64_t kTaskSwitchTrap = 1 << 15;  // DR6.BT
    c.fault = {.vector = vec::DB, .has_code = false, .code = 0, .address = 0, .dr6 = kTaskSwitchTrap};
    return false;
  }
  return good;
}

}  // namespace rhea::cpu
