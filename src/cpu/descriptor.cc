// Descriptor tables: fetch, accessed and busy bits, and what a segment register caches. SDM vol.
// 3A 3.4-3.5, 5. Threading: on the vCPU's own thread; descriptors are shared guest memory.
#include "cpu/control_transfer.h"
#include "cpu/transfer.h"

namespace rhea::cpu {

bool fetch_descriptor(Core& c, uint16_t selector, Descriptor& out, uint8_t vector_if_outside) {
  uint64_t base = c.s.gdtr.base;
  uint32_t limit = c.s.gdtr.limit;
  if ((selector & 4) != 0) {
    const Segment& ldt = c.s.seg[LDTR];
    if (!ldt.usable()) return c.raise(vector_if_outside, selector_code(selector));
    base = ldt.base;
    limit = ldt.limit;
  }
  if ((selector | 7u) > limit) return c.raise(vector_if_outside, selector_code(selector));
  uint64_t address = wrap_linear(c, base + (selector & 0xfff8u));
  uint64_t raw;
  if (!read_linear(c, address, raw, Privilege::Implicit)) return false;
  out.low = static_cast<uint32_t>(raw);
  out.high = static_cast<uint32_t>(raw >> 32);
  out.upper_base = 0;
  out.address = address;
  return true;
}

bool fetch_upper_half(Core& c, uint16_t selector, Descriptor& d, uint8_t vector) {
  uint32_t limit = (selector & 4) != 0 ? c.s.seg[LDTR].limit : c.s.gdtr.limit;
  if ((selector & 0xfff8u) + 15 > limit) return c.raise(vector, selector_code(selector));
  uint64_t raw;
  if (!read_linear(c, d.address + 8, raw, Privilege::Implicit)) return false;
  if ((raw >> 40 & 0x1f) != 0) return c.raise(vector, selector_code(selector));  // its type field must be 0
  d.upper_base = static_cast<uint32_t>(raw);
  return true;
}

bool set_accessed(Core& c, Descriptor& d) {
  if ((d.high & kDescriptorAccessed) != 0) return true;
  d.high |= kDescriptorAccessed;
  return update_byte(c, d.address + 5, 0, attr::kAccessed);
}

bool set_tss_busy(Core& c, uint64_t address, bool busy) {
  constexpr uint8_t kBusy = kTssBusyBit;
  return update_byte(c, address + 5, busy ? 0 : kBusy, busy ? kBusy : 0);
}

bool same_segment(const Segment& a, const Segment& b) {
  return a.base == b.base && a.limit == b.limit && a.attr == b.attr;
}

void set_segment(Core& c, SegIndex index, uint16_t selector, const Descriptor& d) {
  Segment& s = c.s.seg[index];
  s.base = d.base32() | static_cast<uint64_t>(d.upper_base) << 32;
  s.limit = d.limit_bytes();
  s.attr = d.attr();
  s.selector = selector;
}

void set_null_segment(Core& c, SegIndex index, uint16_t selector) {
  Segment& s = c.s.seg[index];
  s.base = 0;
  s.limit = 0;
  // A null SS keeps a DPL, which is what RSM and VMX take the CPL from.
  s.attr = attr::kUnusable | (index == SS ? (selector & 3u) << attr::kDplShift : 0);
  s.selector = selector;
}

void set_flat_segment(Core& c, SegIndex index, uint16_t selector, uint32_t attributes) {
  Segment& s = c.s.seg[index];
  s.base = 0;
  s.limit = 0xffffffffu;
  s.attr = attributes;
  s.selector = selector;
}

// In real-address mode the limit stays what it was ("unreal" mode) and so does the default size.
void set_real_segment(Core& c, SegIndex index, uint16_t selector) {
  Segment& s = c.s.seg[index];
  s.base = static_cast<uint64_t>(selector) << 4;
  s.selector = selector;
  s.attr = (s.attr & (attr::kBig | attr::kGranular | attr::kAvl)) | attr::kPresent | attr::kS |
           attr::kWritable | attr::kAccessed;
}

void set_vm86_segment(Core& c, SegIndex index, uint16_t selector) {
  Segment& s = c.s.seg[index];
  s.base = static_cast<uint64_t>(selector) << 4;
  s.limit = 0xffff;
  s.attr = attr::kPresent | attr::kS | attr::kWritable | attr::kAccessed | 3u << attr::kDplShift;
  s.selector = selector;
}

void drop_inner_segments(Core& c) {
  constexpr SegIndex kData[] = {ES, DS, FS, GS};
  for (SegIndex index : kData) {
    Segment& s = c.s.seg[index];
    if (s.usable() && (is_conforming_code(s.attr) || s.dpl() >= c.s.cpl)) continue;
    s.selector = 0;
    s.attr = attr::kUnusable;  // the base stays: 64-bit code may have set FS's and GS's without a selector
  }
}

bool check_code_offset(Core& c, uint32_t attributes, uint32_t limit, uint64_t offset) {
  if (c.s.long_mode() && (attributes & attr::kLong) != 0) {
    return is_canonical(c, offset) || c.raise(vec::GP, 0);
  }
  return offset <= limit || c.raise(vec::GP, 0);
}

}  // namespace rhea::cpu
