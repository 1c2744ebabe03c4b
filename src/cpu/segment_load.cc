// Loads of segment registers, LDTR and TR (SDM vol. 2: MOV, POP, LDS…, LLDT, LTR) and the checks of every
// access through a segment (vol. 3A 5.3-5.5).
#include "cpu/transfer.h"

namespace rhea::cpu {
namespace {

void shadow_after_ss(Core& c) {
  c.s.interrupt_shadow = 1;
  c.s.shadow_is_mov_ss = 1;
}

bool load_stack_segment(Core& c, uint16_t selector) {
  if (null_selector(selector)) {
    if (!c.s.code64() || c.s.cpl == 3 || rpl(selector) != c.s.cpl) return c.raise(vec::GP, 0);
    set_null_segment(c, SS, selector);
    return true;
  }
  Descriptor d;
  if (!check_return_stack(c, selector, c.s.cpl, d) || !set_accessed(c, d)) return false;
  set_segment(c, SS, selector, d);
  return true;
}

bool load_data_segment(Core& c, SegIndex index, uint16_t selector) {
  if (null_selector(selector)) {
    set_null_segment(c, index, selector);
    return true;
  }
  Descriptor d;
  if (!fetch_descriptor(c, selector, d)) return false;
  uint32_t a = d.attr();
  uint32_t code = selector_code(selector);
  if (!is_segment(a) || (is_code(a) && (a & attr::kReadable) == 0)) return c.raise(vec::GP, code);
  if (!is_conforming_code(a) && (rpl(selector) > dpl_of(a) || c.s.cpl > dpl_of(a)))
    return c.raise(vec::GP, code);
  if (!is_present(a)) return c.raise(vec::NP, code);
  if (!set_accessed(c, d)) return false;
  set_segment(c, index, selector, d);
  return true;
}

bool privileged_protected(Core& c) {
  if (!c.s.protected_mode() || c.s.vm86()) return c.raise(vec::UD);
  if (c.s.cpl != 0) return c.raise(vec::GP, 0);
  return true;
}

}  // namespace

bool load_segment(Core& c, SegIndex index, uint16_t selector) {
  Segment before = c.s.seg[index];
  if (!c.s.protected_mode()) {
    set_real_segment(c, index, selector);
  } else if (c.s.vm86()) {
    set_vm86_segment(c, index, selector);
  } else if (!(index == SS ? load_stack_segment(c, selector) : load_data_segment(c, index, selector))) {
    return false;
  }
  if (index == SS) shadow_after_ss(c);
  // 64-bit code looks only at the FS and GS bases, and those from the state.
  if (!c.s.code64() && !same_segment(before, c.s.seg[index])) told(c);
  return true;
}

bool load_ldtr(Core& c, uint16_t selector) {
  if (!privileged_protected(c)) return false;
  if (null_selector(selector)) {
    set_null_segment(c, LDTR, selector);
    return true;
  }
  uint32_t code = selector_code(selector);
  if ((selector & 4) != 0) return c.raise(vec::GP, code);
  Descriptor d;
  if (!fetch_descriptor(c, selector, d)) return false;
  uint32_t a = d.attr();
  if (is_segment(a) || (a & attr::kTypeMask) != kLdt) return c.raise(vec::GP, code);
  if (!is_present(a)) return c.raise(vec::NP, code);
  if (c.s.long_mode()) {
    if (!fetch_upper_half(c, selector, d, vec::GP)) return false;
    if (!is_canonical(c, d.base32() | static_cast<uint64_t>(d.upper_base) << 32))
      return c.raise(vec::GP, code);
  }
  set_segment(c, LDTR, selector, d);
  return true;
}

bool load_tr(Core& c, uint16_t selector) {
  if (!privileged_protected(c)) return false;
  if (null_selector(selector)) return c.raise(vec::GP, 0);
  uint32_t code = selector_code(selector);
  if ((selector & 4) != 0) return c.raise(vec::GP, code);
  Descriptor d;
  if (!fetch_descriptor(c, selector, d)) return false;
  uint32_t a = d.attr();
  uint32_t type = a & attr::kTypeMask;
  if (is_segment(a) || (type != kTss32 && (type != kTss16 || c.s.long_mode()))) return c.raise(vec::GP, code);
  if (!is_present(a)) return c.raise(vec::NP, code);
  if (c.s.long_mode()) {
    if (!fetch_upper_half(c, selector, d, vec::GP)) return false;
    if (!is_canonical(c, d.base32() | static_cast<uint64_t>(d.upper_base) << 32))
      return c.raise(vec::GP, code);
  }
  if (!set_tss_busy(c, d.address, true)) return false;
  d.high |= kTssBusyBit << 8;
  set_segment(c, TR, selector, d);
  return true;
}

bool to_linear(Core& c, SegIndex index, uint64_t offset, unsigned size, bool write, uint64_t& linear) {
  const Segment& s = c.s.seg[index];
  uint8_t vector = index == SS ? vec::SS : vec::GP;
  if (c.s.code64()) {
    linear = index == FS || index == GS ? s.base + offset : offset;
    if (is_canonical(c, linear) && is_canonical(c, linear + size - 1)) [[likely]]
      return true;
    return c.raise(vector, 0);
  }
  offset &= 0xffffffffu;
  uint32_t a = s.attr;
  if ((a & attr::kUnusable) != 0) return c.raise(vector, 0);
  if (c.s.protected_mode()) {
    // In real-address mode the cached type does not matter.
    bool code = (a & attr::kCode) != 0;
    if (write ? code || (a & attr::kWritable) == 0 : code && (a & attr::kReadable) == 0)
      return c.raise(vector, 0);
  }
  uint64_t last = offset + size - 1;
  if ((a & (attr::kCode | attr::kExpandDown)) == attr::kExpandDown) {
    uint64_t top = (a & attr::kBig) != 0 ? 0xffffffffu : 0xffffu;
    if (offset <= s.limit || last > top) return c.raise(vector, 0);
  } else if (last > s.limit) {  // beyond 4 GiB too, as measured
    return c.raise(vector, 0);
  }
  linear = (s.base + offset) & 0xffffffffu;
  return true;
}

}  // namespace rhea::cpu
