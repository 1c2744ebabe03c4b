// The fixed pieces of code between translated blocks and C++, made once at start-up.
#pragma once

#include <cstdint>

#include "engine/dbt/assembler.h"
#include "engine/dbt/mode.h"

namespace rhea::dbt {

class CodeCache;

// What the thunks behind an access need to know of it; T1 points at it.
struct AccessSite {
  uint16_t place;  // page offset of the instruction, its length in bits 15..12
  uint16_t slot;
  uint16_t flags;
  uint8_t alt;  // distance of the alternative path (stores) from the call's return address; kGroup: failures
  uint8_t pad;
  uint64_t limit;      // highest offset in a page at which the access ends inside it
  uint32_t slot_disp;  // of the site's slot and of its chunk's dirty byte, in the Context
  uint32_t dirty_disp;
  // kUnfinished: the instruction has more to do behind the store (PUSH, CALL move the stack pointer). kGroup:
  // later accesses rely on the slot, so it must be filled or the block left.
  static constexpr uint16_t kWrite = 1, kStack = 2, kRead = 4, kNoFill = 8, kUnfinished = 16, kGroup = 32,
                            kAligned = 64,  // #GP unless aligned to its size, before any page fault
      kWaits = 128,                         // #MF comes first when an x87 exception is pending
      kLocked = 256;                        // LOCK or XCHG: atomic even across pages
  unsigned page_offset() const { return place & 0xfffu; }
  // Bytes accessed, 1..64; of a group: from the lowest to behind the highest.
  unsigned size() const { return static_cast<unsigned>(4096 - limit); }
  unsigned next_offset() const { return (place & 0xfffu) + (place >> 12); }
};
static_assert(sizeof(AccessSite) == 24);

// Of an offset in T0 that failed the inline check; T1 points at it.
struct __attribute__((packed)) SegmentSite {
  uint16_t page_offset;
  uint8_t seg;
  uint8_t size;
  uint8_t write;
  uint8_t pad[3];
};
static_assert(sizeof(SegmentSite) == 8);

// Addresses in the writable view. "Saves all": guest GPRs go to Context::core.s.gpr.
struct Thunks {
  const uint8_t* access_fast[kBanks][2];  // [bank][write]: the same by the TLB alone, else access
  const uint8_t*
      access;  // T0 linear, T1 AccessSite → T1 delta; returns, goes to the site's alt, or elsewhere
  const uint8_t*
      store_done;           // T1 AccessSite: finishes a store made through the alternative path; keeps EFLAGS
  const uint8_t* segment;   // T0 offset, T1 SegmentSite → T0 linear
  const uint8_t* help;      // T1 const Insn*: runs its helper and returns
  const uint8_t* help_end;  // jumped to; T1 const Insn*: runs its helper, goes to the dispatcher
  const uint8_t* link;      // jumped to; T2 LinkSite*: saves flags, links, enters the target
  const uint8_t* poll;      // the same without linking (something is pending)
  const uint8_t* lookup;    // T0: rip; flags are in the state
  const uint8_t*
      dropped;  // called from in front of a dropped block's entry; the return address tells the block
  const uint8_t* fault;  // entered by the signal handler: signal_vector, rip set
  // Host entry points.
  void (*enter)(void* context, const uint8_t* host);  // returns when the dispatcher says so
  void (*cold)(void (*fn)(void*), void* arg);         // saves the guest's vector state around fn
};

Thunks make_thunks(CodeCache& cache);

}  // namespace rhea::dbt
