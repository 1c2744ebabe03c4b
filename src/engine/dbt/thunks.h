// The fixed pieces of code between translated blocks and C++, made once at start-up.
#pragma once

#include <cstdint>

#include "engine/dbt/assembler.h"
#include "engine/dbt/mode.h"

namespace rhea::dbt {

class CodeCache;

// What the thunks behind an access need to know of it. In a stub it stands right in front of the call, so
// that the return address leads to it; T1 points at it where C++ is called.
struct __attribute__((packed)) AccessSite {
  uint16_t place;  // page offset of the instruction, its length in bits 15..12
  uint16_t slot;
  uint16_t limit;  // highest offset in a page at which the access ends inside it
  uint16_t flags;
  uint8_t alt;       // distance of the alternative path (stores) from the call's return address; 0: none
  uint8_t failures;  // how often the block's careful variant had to stand in
  // kUnfinished: the instruction has more to do behind the store (PUSH, CALL move the stack pointer). kGroup:
  // later accesses rely on the slot, so it must be filled or the block left.
  static constexpr uint16_t kWrite = 1, kStack = 2, kRead = 4, kNoFill = 8, kUnfinished = 16, kGroup = 32,
                            kAligned = 64,  // #GP unless aligned to its size, before any page fault
      kWaits = 128,                         // #MF comes first when an x87 exception is pending
      kLocked = 256;                        // LOCK or XCHG: atomic even across pages
  unsigned page_offset() const { return place & 0xfffu; }
  // Bytes accessed, 1..64; of a group: from the lowest to behind the highest.
  unsigned size() const { return 4096u - limit; }
  unsigned next_offset() const { return (place & 0xfffu) + (place >> 12); }
};
static_assert(sizeof(AccessSite) == 10);

// Of an offset in T0 that failed the inline check; it stands like an AccessSite.
struct __attribute__((packed)) SegmentSite {
  uint16_t page_offset;
  uint8_t seg;
  uint8_t size;
  uint8_t write;
};
static_assert(sizeof(SegmentSite) == 5);
inline constexpr int kCallBytes = 5;

// How a stub is entered and what it hands back.
enum class AccessForm : uint8_t {
  Delta,    // T0: linear - tag of the slot → T1: delta
  Address,  // T0: linear → T0: host address, T1: delta
};
inline constexpr unsigned kAccessForms = 2;

// Addresses in the writable view. "Saves all": guest GPRs go to Context::core.s.gpr.
struct Thunks {
  // Called behind an AccessSite; return, go to the site's alt, or elsewhere.
  // [form][bank][write]; T0: linear - tag of the TLB entry at T1, which does not serve
  const uint8_t* access_probed[kAccessForms][kBanks][2];
  const uint8_t* access[kAccessForms];  // T0: linear even for Delta, and kept
  const uint8_t*
      store_done;  // T1 AccessSite: finishes a store made through the alternative path; keeps EFLAGS and T2
  const uint8_t* segment;            // called behind a SegmentSite: T0 offset → T0 linear
  const uint8_t* help;               // T1 const Insn*: runs its helper and returns
  const uint8_t* help_end;           // jumped to; T1 const Insn*: runs its helper, goes to the dispatcher
  const uint8_t* link[kBanks];       // called in front of a LinkSite*: saves flags, links, enters the target
  const uint8_t* link_far[kBanks];   // the same with flags in the state
  const uint8_t* predicted[kBanks];  // jumped to; T0: rip, T2: the LinkSite of a prediction that failed
  const uint8_t* link_slotted[kBanks];
  const uint8_t* poll;                       // as link, without linking (something is pending)
  const uint8_t* poll_slotted;               // the same with flags in the state
  const uint8_t* lookup;                     // T0: rip; flags are in the state
  const uint8_t* unexpected_return[kBanks];  // the same by the jump table first; forgets all expected returns
  const uint8_t*
      dropped;  // called from in front of a dropped block's entry; the return address tells the block
  const uint8_t* dropped_slotted;  // the same with flags in the state
  const uint8_t* fault;            // entered by the signal handler: signal_vector, rip set
  // Host entry points.
  void (*enter)(void* context, const uint8_t* host);  // returns when the dispatcher says so
  void (*cold)(void (*fn)(void*), void* arg);         // saves the guest's vector state around fn
};

Thunks make_thunks(CodeCache& cache);

}  // namespace rhea::dbt
