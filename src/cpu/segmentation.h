// Segments: descriptor fetch and checks, loads, and the offset-to-linear step with limits and rights.
// SDM vol. 3A chapters 3 and 5.
#pragma once

#include <cstdint>

#include "cpu/core.h"
#include "cpu/paging.h"

namespace rhea::cpu {

struct Descriptor {
  uint32_t low = 0, high = 0;
  uint32_t upper_base = 0;  // system descriptors in long mode
  uint64_t address = 0;     // linear, for setting the accessed/busy bit
  uint32_t attr() const { return ((high >> 8) & 0xff) | ((high >> 8) & 0xf000); }
  uint32_t base32() const { return (low >> 16) | ((high & 0xff) << 16) | (high & 0xff000000u); }
  uint32_t limit_bytes() const {
    uint32_t l = (low & 0xffff) | (high & 0xf0000);
    return (high & 0x800000) != 0 ? (l << 12) | 0xfff : l;
  }
};

// MOV/POP/LDS… to a data or stack segment register, in the current mode (real, vm86, protected, long). Sets
// the interrupt shadow for SS. False: #GP/#SS/#NP/#PF recorded.
bool load_segment(Core& c, SegIndex index, uint16_t selector);
bool load_ldtr(Core& c, uint16_t selector);
bool load_tr(Core& c, uint16_t selector);
// Fetches a descriptor from GDT or LDT. False: #GP(selector) beyond the limit (or the vector given), or #PF.
bool fetch_descriptor(Core& c, uint16_t selector, Descriptor& out, uint8_t vector_if_outside = vec::GP);
void set_segment(Core& c, SegIndex index, uint16_t selector, const Descriptor& d);  // caches it, no checks
void set_real_segment(Core& c, SegIndex index, uint16_t selector);                  // base = selector << 4

// Checks [offset, offset+size) against the segment (type, limit, expand-down, canonical in 64-bit mode) and
// gives the linear address. Wraps as the mode does. False: #GP(0), or #SS(0) for SS.
bool to_linear(Core& c, SegIndex index, uint64_t offset, unsigned size, bool write, uint64_t& linear);

// LAR, LSL, VERR, VERW: true when the selector is visible (ZF = 1). They never fault on the selector itself;
// a #PF on the descriptor fetch is reported through `faulted`.
bool lar(Core& c, uint16_t selector, uint32_t& access_rights, bool& faulted);
bool lsl(Core& c, uint16_t selector, uint32_t& limit, bool& faulted);
bool verify(Core& c, uint16_t selector, bool for_write, bool& faulted);

}  // namespace rhea::cpu
