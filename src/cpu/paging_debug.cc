// Translation for debuggers and monitors: what the tables in memory say now. SDM vol. 3A 4.3 to 4.5. Ordinary
// code.
#include "cpu/paging.h"
#include "cpu/paging_tlb.h"

namespace rhea::cpu {

namespace {

constexpr uint64_t kPresent = 1, kPs = 0x80, kAddress = 0x000ffffffffff000;

uint64_t load(Core& c, uint64_t gpa, unsigned size) {
  return c.memory->load(mask_a20(c, gpa), size);
}

bool walk64(Core& c, uint64_t linear, uint64_t table, unsigned level, uint64_t& gpa) {
  for (;; --level) {
    unsigned shift = 12 + 9 * (level - 1);
    uint64_t entry = load(c, table + (linear >> shift & 0x1ff) * 8, 8);
    if ((entry & kPresent) == 0) return false;
    if (level == 1 || ((level == 2 || level == 3) && (entry & kPs) != 0)) {
      uint64_t inside = (uint64_t{1} << shift) - 1;
      gpa = (entry & kAddress & ~inside) | (linear & inside);
      return true;
    }
    table = entry & kAddress;
  }
}

bool walk32(Core& c, uint64_t linear, uint64_t& gpa) {
  uint64_t pde = load(c, (c.s.cr3 & 0xfffff000) + (linear >> 22) * 4, 4);
  if ((pde & kPresent) == 0) return false;
  if ((pde & kPs) != 0 && (c.s.cr4 & cr4::PSE) != 0) {
    gpa = (pde & 0xffc00000) | (pde >> 13 & 0xff) << 32 | (linear & 0x3fffff);
    return true;
  }
  uint64_t pte = load(c, (pde & 0xfffff000) + (linear >> 12 & 0x3ff) * 4, 4);
  gpa = (pte & 0xfffff000) | (linear & kPageMask);
  return (pte & kPresent) != 0;
}

}  // namespace

bool debug_translate(Core& c, uint64_t linear, uint64_t& gpa) {
  const CpuState& s = c.s;
  bool ok = true;
  if (s.long_mode()) {
    unsigned levels = (s.cr4 & cr4::LA57) != 0 ? 5 : 4;
    ok = canonical(c, linear) && walk64(c, linear, s.cr3 & kAddress, levels, gpa);
  } else {
    linear &= 0xffffffff;
    if ((s.cr0 & cr0::PG) == 0) {
      gpa = linear;
    } else if ((s.cr4 & cr4::PAE) == 0) {
      ok = walk32(c, linear, gpa);
    } else {
      // Not from the PDPTE registers, which a hardware engine does not show.
      uint64_t pdpte = load(c, (s.cr3 & 0xffffffe0) + (linear >> 30) * 8, 8);
      ok = (pdpte & kPresent) != 0 && walk64(c, linear, pdpte & kAddress, 2, gpa);
    }
  }
  gpa = mask_a20(c, gpa);
  return ok;
}

}  // namespace rhea::cpu
