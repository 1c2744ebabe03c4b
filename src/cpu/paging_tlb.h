// The tagged TLB behind translate() and the cached memory view behind the accessors; private to paging*.cc and
// linear_access.cc. Used on the vCPU's own thread only.
//
// Tags. An entry carries a stamp, a number never used twice. Each PCID has a current stamp, global pages have one of
// their own: an entry is valid when its stamp is the current PCID's or the global one. Flushing a PCID gives it a new
// stamp; flushing them all raises the floor below which a PCID's stamp is replaced when next looked at.
//
// Sizes. 4 KiB translations are in `small`; a 2 MiB one, a 4 MiB one as the half that was used, in `large`; 1 GiB
// ones in `huge`. INVLPG looks at all three, so it drops everything under the page that held the address.
#pragma once

#include <cstdint>
#include <memory>

#include "cpu/core.h"
#include "memory/address_space.h"

namespace rhea::cpu {

// What a walk found, for checks that depend on who asks: TlbEntry::rights.
namespace right {
inline constexpr uint32_t kUser = 1,  // U/S of the whole path
    kWrite = 2,                       // R/W of the whole path
    kNoExec = 4,                      // XD anywhere in the path
    kDirty = 8, kGlobal = 16,
    k4M = 32,                         // the page is 4 MiB, of which this is half
    kKeyShift = 8, kKeyMask = 0xf;    // protection key
}

struct TlbEntry {  // invalid when stamp is 0
  uint64_t stamp;
  uint64_t page;  // linear >> shift of its array
  uint64_t gpa;   // of the page's first byte, before A20
  uint32_t rights;
  uint32_t pad;
};

// One address space as last looked at.
struct ViewCache {
  memory::AddressSpace* space = nullptr;  // null: to be refreshed
  const memory::FlatRange* ranges = nullptr;
  uint64_t count = 0;
  const memory::FlatRange* last = nullptr;  // where the last access was; null when count is 0
  std::shared_ptr<const memory::FlatView> owner;
};

struct PagingTlb {
  static constexpr unsigned kWays = 4, kSmallSets = 512, kLargeSets = 64, kHuge = 8;

  uint64_t cr0_seen, cr4_seen, efer_seen;  // the mode bits the entries were made under
  uint64_t counter;                        // last stamp given out
  uint64_t global_stamp, floor;
  uint32_t victim;
  uint32_t huge_used;
  uint64_t pcid_stamp[4096];
  alignas(64) TlbEntry small[kSmallSets][kWays];
  alignas(64) TlbEntry large[kLargeSets][kWays];
  alignas(64) TlbEntry huge[kHuge];

  ViewCache views[2];  // normal and SMM
};

// The range that holds gpa, or null. General registers only.
const memory::FlatRange* find_range(Core& c, uint64_t gpa);
// Host address of [gpa, gpa+size) when it is RAM or ROM in one range; `range` tells which.
uint8_t* host_pointer(Core& c, uint64_t gpa, uint64_t size, const memory::FlatRange*& range);
// After a store through host_pointer(): tells the translator when the page holds cached code.
void note_code_write(Core& c, const memory::FlatRange& range, uint64_t gpa, unsigned size);
inline uint64_t mask_a20(const Core& c, uint64_t gpa) {
  return c.s.a20_masked != 0 ? gpa & ~(uint64_t{1} << 20) : gpa;
}

}  // namespace rhea::cpu
