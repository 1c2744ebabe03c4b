// The tagged TLB behind translate() and the cached memory view behind the accessors; private to paging*.cc
// and linear_access.cc. Used on the vCPU's own thread only.
//
// Tags. An entry carries a stamp, a number never used twice. Each PCID has a current stamp, global pages have
// one of their own: an entry is valid when its stamp is the current PCID's or the global one. Flushing a PCID
// gives it a new stamp; flushing them all raises the floor below which a PCID's stamp is replaced when next
// looked at.
//
// Sizes. 4 KiB translations are in `small`; a 2 MiB one, a 4 MiB one as the half that was used, in `large`; 1
// GiB ones in `huge`. INVLPG looks at all three, so it drops everything under the page that held the address.
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
                          k4M = 32,  // the page is 4 MiB, of which this is half
    kKeyShift = 8, kKeyMask = 0xf;   // protection key
}

namespace may {
inline constexpr uint8_t kRead = 1, kWrite = 2, kFetch = 4;
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

// See system_slots.h.
struct SystemSlot {
  uint64_t key, stamp, epoch;
  uint8_t* host;  // of the page, at `gpa` in `range`
  uint64_t gpa;
  const memory::FlatRange* range;
};

struct PagingTlb {
  static constexpr unsigned kWays = 4, kSmallSets = 512, kLargeSets = 64, kHuge = 8, kSystemSlots = 64;

  uint64_t cr0_seen, cr4_seen, efer_seen;  // the mode bits the entries were made under
  uint32_t rules_seen;                     // the mode bits that `allowed` was made for, ~0: none
  uint8_t allowed[2][3][8];                // by EFLAGS.AC, privilege and right::kUser|kWrite|kNoExec: may::*
  uint64_t counter;                        // last stamp given out
  uint64_t global_stamp, floor;
  uint32_t victim;
  uint32_t huge_used;
  uint64_t pcid_stamp[4096];
  alignas(64) TlbEntry small[kSmallSets][kWays];
  alignas(64) TlbEntry large[kLargeSets][kWays];
  alignas(64) TlbEntry huge[kHuge];

  uint64_t system_epoch;  // of the last INVLPG
  SystemSlot system[kSystemSlots];

  ViewCache views[2];  // normal and SMM
};

// Control bits that entries depend on in ways that a hit does not check again.
inline constexpr uint64_t kCr0Seen = cr0::PG, kCr4Seen = cr4::PSE | cr4::PAE | cr4::PGE | cr4::LA57,
                          kEferSeen = efer::LMA | efer::NXE;

inline void flush_all(PagingTlb& t) {
  t.floor = t.counter + 1;
  t.counter += 2;
  t.global_stamp = t.counter;
  t.huge_used = 0;
}

inline uint64_t stamp_of(PagingTlb& t, uint64_t pcid) {
  uint64_t& stamp = t.pcid_stamp[pcid & 0xfff];
  if (stamp < t.floor) [[unlikely]]
    stamp = ++t.counter;
  return stamp;
}

inline uint64_t current_pcid(const CpuState& s) {
  return (s.cr4 & cr4::PCIDE) != 0 ? s.cr3 & 0xfff : 0;
}

inline void check_mode(PagingTlb& t, const CpuState& s) {
  uint64_t changed = ((t.cr0_seen ^ s.cr0) & kCr0Seen) | ((t.cr4_seen ^ s.cr4) & kCr4Seen) |
                     ((t.efer_seen ^ s.efer) & kEferSeen);
  if (changed == 0) [[likely]]
    return;
  t.cr0_seen = s.cr0;
  t.cr4_seen = s.cr4;
  t.efer_seen = s.efer;
  flush_all(t);
}

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
