// Frames on stacks that are not committed yet, and the stacks that a TSS names. SDM vol. 3A 5.8.5, 6.14, 7.2.
#include "cpu/transfer.h"

namespace rhea::cpu {
namespace {

constexpr unsigned kMaxAccess = 64;

bool within(const Stack& s, uint64_t offset, unsigned size) {
  uint64_t last = offset + size - 1;
  if ((s.attr & (attr::kCode | attr::kExpandDown)) == attr::kExpandDown) {
    uint64_t top = (s.attr & attr::kBig) != 0 ? 0xffffffffu : 0xffffu;
    return offset > s.limit && last <= top;
  }
  return last <= s.limit || s.limit == 0xffffffffu;
}

uint64_t linear_of(const Stack& s, uint64_t offset) {
  return s.wide ? offset : (s.base + offset) & 0xffffffffu;
}

void put(uint8_t* to, uint64_t value, unsigned size) {
  for (unsigned i = 0; i < size; i++) to[i] = static_cast<uint8_t>(value >> (8 * i));
}

uint64_t get(const uint8_t* from, unsigned size) {
  uint64_t value = 0;
  for (unsigned i = 0; i < size; i++) value |= static_cast<uint64_t>(from[i]) << (8 * i);
  return value;
}

// An access outside: for 64-bit stacks the address is not canonical.
bool bad_stack(Core& c, const Stack& s) {
  return c.raise(vec::SS, s.error);
}

bool canonical_range(const Core& c, uint64_t low, unsigned total) {
  return is_canonical(c, low) && is_canonical(c, low + total - 1);
}

}  // namespace

Stack current_stack(const Core& c) {
  const Segment& ss = c.s.seg[SS];
  Stack s;
  s.wide = c.s.code64();
  s.base = s.wide ? 0 : ss.base;
  s.mask = s.wide ? ~0ull : (ss.attr & attr::kBig) != 0 ? 0xffffffffu : 0xffffu;
  s.sp = c.s.gpr[RSP] & s.mask;
  s.limit = ss.limit;
  s.attr = ss.attr;
  s.error = 0;
  s.privilege = current_privilege(c);
  return s;
}

Stack new_stack(const Descriptor& d, uint16_t selector, uint64_t sp, unsigned cpl) {
  Stack s;
  s.wide = false;
  s.base = d.base32();
  s.mask = (d.attr() & attr::kBig) != 0 ? 0xffffffffu : 0xffffu;
  s.sp = sp & s.mask;
  s.limit = d.limit_bytes();
  s.attr = d.attr();
  s.error = static_cast<uint16_t>(selector_code(selector));
  s.privilege = cpl == 3 ? Privilege::User : Privilege::Supervisor;
  return s;
}

Stack new_stack64(uint64_t sp, unsigned cpl) {
  Stack s;
  s.wide = true;
  s.base = 0;
  s.mask = ~0ull;
  s.sp = sp;
  s.limit = 0xffffffffu;
  s.attr = 0;
  s.error = 0;
  s.privilege = cpl == 3 ? Privilege::User : Privilege::Supervisor;
  return s;
}

bool push_values(Core& c, Stack& s, const uint64_t* values, unsigned count, unsigned size) {
  unsigned total = count * size;
  if (s.wide) {
    uint64_t low = s.sp - total;
    if (!canonical_range(c, low, total)) [[unlikely]]
      return bad_stack(c, s);
    if (size == 8 && total <= kMaxAccess) [[likely]] {
      uint64_t frame[kMaxAccess / 8];
      for (unsigned i = 0; i < count; i++) frame[count - 1 - i] = values[i];
      if (write_linear(c, low, frame, total, s.privilege, true)) [[likely]] {
        s.sp = low;
        return true;
      }
    }
  }
  uint64_t low = (s.sp - total) & s.mask;
  if (low + total == s.sp && total <= kMaxAccess && (s.wide || linear_of(s, low) <= 0xffffffffu - total)) {
    if (!s.wide && !within(s, low, total)) return bad_stack(c, s);
    uint8_t frame[kMaxAccess];
    for (unsigned i = 0; i < count; i++) put(frame + (count - 1 - i) * size, values[i], size);
    if (write_linear(c, linear_of(s, low), frame, total, s.privilege, true)) {
      s.sp = low;
      return true;
    }
  }
  // A fault in the frame is met value by value from the top, which decides the address that it reports.
  uint64_t sp = s.sp;
  for (unsigned i = 0; i < count; i++) {
    sp = (sp - size) & s.mask;
    if (!s.wide && !within(s, sp, size)) return bad_stack(c, s);
    uint8_t slot[8];
    put(slot, values[i], size);
    if (!write_linear(c, linear_of(s, sp), slot, size, s.privilege, true)) return false;
  }
  s.sp = sp;
  return true;
}

bool pop_values(Core& c, Stack& s, uint64_t* values, unsigned count, unsigned size) {
  unsigned total = count * size;
  if (s.wide) {
    if (!canonical_range(c, s.sp, total)) [[unlikely]]
      return bad_stack(c, s);
    if (size == 8 && total <= kMaxAccess) [[likely]] {
      if (!read_linear(c, s.sp, values, total, s.privilege, true)) return false;
      s.sp += total;
      return true;
    }
  }
  uint64_t sp = s.sp;
  if (((sp + total) & s.mask) == sp + total && total <= kMaxAccess &&
      (s.wide || linear_of(s, sp) <= 0xffffffffu - total)) {
    if (!s.wide && !within(s, sp, total)) return bad_stack(c, s);
    uint8_t frame[kMaxAccess];
    if (!read_linear(c, linear_of(s, sp), frame, total, s.privilege, true)) return false;
    for (unsigned i = 0; i < count; i++) values[i] = get(frame + i * size, size);
    s.sp = sp + total;
    return true;
  }
  for (unsigned i = 0; i < count; i++) {
    if (!s.wide && !within(s, sp, size)) return bad_stack(c, s);
    uint8_t slot[8];
    if (!read_linear(c, linear_of(s, sp), slot, size, s.privilege, true)) return false;
    values[i] = get(slot, size);
    sp = (sp + size) & s.mask;
  }
  s.sp = sp;
  return true;
}

void set_stack_pointer(Core& c, uint64_t mask, uint64_t sp) {
  uint64_t& rsp = c.s.gpr[RSP];
  rsp = mask == 0xffff ? (rsp & ~0xffffull) | (sp & 0xffff) : sp & mask;
}

bool inner_stack_from_tss(Core& c, unsigned cpl, uint16_t& selector, uint64_t& sp, Descriptor& d) {
  const Segment& tr = c.s.seg[TR];
  uint32_t tr_code = selector_code(tr.selector);
  if ((tr.attr & 8) != 0) {  // 32-bit: ESPn at 4 + 8n, SSn after it
    uint32_t at = cpl * 8 + 4;
    if (!tr.usable() || at + 5 > tr.limit) return c.raise(vec::TS, tr_code);
    uint32_t esp;
    if (!read_linear(c, wrap_linear(c, tr.base + at), esp, Privilege::Implicit)) return false;
    if (!read_linear(c, wrap_linear(c, tr.base + at + 4), selector, Privilege::Implicit)) return false;
    sp = esp;
  } else {
    uint32_t at = cpl * 4 + 2;
    if (!tr.usable() || at + 3 > tr.limit) return c.raise(vec::TS, tr_code);
    uint16_t sp16;
    if (!read_linear(c, wrap_linear(c, tr.base + at), sp16, Privilege::Implicit)) return false;
    if (!read_linear(c, wrap_linear(c, tr.base + at + 2), selector, Privilege::Implicit)) return false;
    sp = sp16;
  }
  if (null_selector(selector)) return c.raise(vec::TS, 0);
  uint32_t code = selector_code(selector);
  if (!fetch_descriptor(c, selector, d, vec::TS)) return false;
  if (rpl(selector) != cpl || dpl_of(d.attr()) != cpl || !is_writable_data(d.attr()))
    return c.raise(vec::TS, code);
  if (!is_present(d.attr())) return c.raise(vec::SS, code);
  return true;
}

bool stack_from_tss64(Core& c, unsigned cpl, unsigned ist, uint64_t& sp) {
  const Segment& tr = c.s.seg[TR];
  uint32_t at = ist != 0 ? 0x1c + ist * 8 : 4 + cpl * 8;
  if (!tr.usable() || at + 7 > tr.limit) return c.raise(vec::TS, selector_code(tr.selector));
  if (!read_linear(c, tr.base + at, sp, Privilege::Implicit)) return false;
  if (!is_canonical(c, sp)) return c.raise(vec::SS, 0);
  return true;
}

bool check_return_stack(Core& c, uint16_t selector, unsigned cpl, Descriptor& d) {
  if (!fetch_descriptor(c, selector, d)) return false;
  uint32_t a = d.attr();
  uint32_t code = selector_code(selector);
  if (rpl(selector) != cpl || !is_writable_data(a) || dpl_of(a) != cpl) return c.raise(vec::GP, code);
  if (!is_present(a)) return c.raise(vec::SS, code);
  return true;
}

}  // namespace rhea::cpu
