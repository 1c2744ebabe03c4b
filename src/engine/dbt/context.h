// What translated code finds at gs:0 — one vCPU's core followed by everything derived from it: the access
// slots and the TLB in front of guest memory, the jump table, and the scratch that thunks use.
//
// Only the vCPU's own thread writes here, except Core::pending.
#pragma once

#include <cstddef>
#include <cstdint>

#include "cpu/core.h"
#include "engine/dbt/far_slots.h"
#include "engine/dbt/mode.h"
#include "memory/ram_block.h"

namespace rhea::cpu {
struct DebugRequest;
}

namespace rhea::dbt {

struct Block;
class CodeCache;
class DbtShared;

// A translated page of guest linear memory: an access to `ea` is inside it when ea - tag < 4096, and its host
// address is ea + delta. The empty entry has a non-canonical tag and a delta that sends it to host page 0,
// which is never mapped.
struct Slot {
  uint64_t tag;
  uint64_t delta;
};
inline constexpr uint64_t kEmptyTag = 0x6a09e667f3bcc000;
inline constexpr Slot kEmptySlot{kEmptyTag, 0 - kEmptyTag};

inline constexpr unsigned kSlots = 2048;  // per bank and direction; bound to access sites at translation
inline constexpr unsigned kSlotChunkBits = 6,
                          kSlotChunk = 1u << kSlotChunkBits;  // slots that share a dirty byte
inline constexpr unsigned kTlbEntries = 2048;                 // per bank; indexed by page number

// One page in the TLB, for both directions. An address is inside when address - tag[write] < 4096; it is at
// address + delta, or that far into host. Without the right the tag is one that no address with this index
// meets.
struct TlbEntry {
  uint64_t tag[2];
  uint64_t delta;
  uint64_t host;
};
inline constexpr unsigned kTlbEntryBits = 5;
extern const bool kHostBmi2;
static_assert(sizeof(TlbEntry) == 1u << kTlbEntryBits);
inline unsigned tlb_index(uint64_t linear) {
  return static_cast<unsigned>(linear >> 12) & (kTlbEntries - 1);
}
inline uint64_t no_tag(unsigned index) {
  return tlb_index(kEmptyTag) != index ? kEmptyTag : kEmptyTag ^ kPageSize;
}
inline TlbEntry no_entry(unsigned index) {
  return {{no_tag(index), no_tag(index)}, 0, 0};
}

inline constexpr unsigned kJumpEntries = 16384;
inline constexpr unsigned kFetchEntries = 256;

inline constexpr unsigned kMaxGroups = 64;  // in a block

inline constexpr unsigned kReturnStackBytes = 128 * 1024;  // of the vCPU thread's stack
struct JumpEntry {
  uint64_t rip;
  const uint8_t* host;
};
// Functions tend to lie at multiples of large powers of two: the index is a checksum of the address where the
// host has one in hardware (SSE4.2), which T1 takes from T0 in two instructions.
extern const bool kHostCrc32;
inline unsigned jump_index(uint64_t rip) {
  if (!kHostCrc32) return static_cast<unsigned>(rip) & (kJumpEntries - 1);
  uint64_t sum = 0;
  asm("crc32q %1, %0" : "+r"(sum) : "r"(rip));
  return static_cast<unsigned>(sum >> 4) & (kJumpEntries - 1);
}
// In Context::far_page: nothing seen. Predicted jumps compare it with what a guest may name, so no guest
// knows it.
extern const uint64_t kNoPage;
inline constexpr uint64_t kEmptyRip = 0x8000000000000001;  // non-canonical

// Which slots, TLB entries and jump entries have been filled since they were last empty, so that a flush
// costs what was filled. Full: the flush clears everything.
template <unsigned N>
struct FillLog {
  uint32_t count;
  uint16_t index[N];
  void add(unsigned i) {
    if (count < N) index[count] = static_cast<uint16_t>(i);
    ++count;
  }
  bool overflowed() const { return count > N; }
};

// Which linear addresses may have entries behind them that came from pages above 4 KiB, hashed by the page.
// What a process maps and what the kernel maps (address bit 63) never meet in a hash: kernels invalidate
// pages of processes all the time, and their own code is not to pay for that.
struct LargePages {
  uint64_t regions[2][16];  // 2 MiB and 4 MiB
  uint64_t gigabytes[2];
  static unsigned region(uint64_t linear) {
    return static_cast<unsigned>(linear >> 22 ^ linear >> 54) & 1023;
  }
  void note(uint64_t linear, uint64_t page_bytes) {
    if (page_bytes > uint64_t{4} << 20)
      gigabytes[linear >> 63] |= uint64_t{1} << (linear >> 30 & 63);
    else
      regions[linear >> 63][region(linear) / 64] |= uint64_t{1} << (region(linear) % 64);
  }
  bool may_hold(uint64_t linear) const {
    return (regions[linear >> 63][region(linear) / 64] >> (region(linear) % 64) & 1) != 0 ||
           (gigabytes[linear >> 63] >> (linear >> 30 & 63) & 1) != 0;
  }
  void clear() {
    for (auto& half : regions) {
      for (uint64_t& word : half) word = 0;
    }
    gigabytes[0] = gigabytes[1] = 0;
  }
};

// A bit for each page (hashed, by address bit 63) that something may come from.
struct PageFilter {
  uint64_t words[2][64];
  bool used[2];
  static unsigned hash(uint64_t linear) {
    return static_cast<unsigned>((linear >> 12) * 0x9e3779b97f4a7c15 >> 52);
  }
  void add(uint64_t linear) {
    words[linear >> 63][hash(linear) / 64] |= uint64_t{1} << (hash(linear) % 64);
    used[linear >> 63] = true;
  }
  bool may_hold(uint64_t linear) const {
    return (words[linear >> 63][hash(linear) / 64] >> (hash(linear) % 64) & 1) != 0;
  }
  void clear() {
    for (unsigned half = 0; half < 2; ++half) {
      if (!used[half]) continue;
      used[half] = false;
      for (uint64_t& word : words[half]) word = 0;
    }
  }
};

// 2 MiB of RAM behind one translation, for TLB entries that random access to much memory keeps replacing.
struct LargeEntry {
  uint64_t page;   // address >> 21; ~0: empty
  uint64_t delta;  // from linear to host addresses
  const memory::RamBlock* ram;
  uint64_t ram_delta;  // from linear addresses to offsets in it
  bool global, writable;
  static constexpr unsigned kShift = 21;
  static constexpr uint64_t kBytes = uint64_t{1} << kShift;
};
inline constexpr unsigned kLargeEntries = 32;

struct AccessBank {
  Slot read[kSlots];
  Slot write[kSlots];
  TlbEntry tlb[kTlbEntries];
  uint8_t read_dirty[kSlots / kSlotChunk];  // a slot of the chunk may be filled
  uint8_t write_dirty[kSlots / kSlotChunk];
  FillLog<2 * kTlbEntries> tlb_filled;  // indexes; bit 15: not from a global page
  bool used;                            // since the last full flush
  bool has_non_global;                  // something from a page that is not global is in here
  PageFilter pages;                     // of the entries, since the last full flush
  LargePages large;                     // likewise
  LargeEntry large_entry[kLargeEntries];
};

struct JumpBank {
  JumpEntry entry[kJumpEntries];
  FillLog<1024> filled;
  uint32_t mode;  // what the entries were filled for
  bool has_non_global;
  PageFilter pages;  // that entries may be in
};

// Blocks by place and mode, in front of the shared hash table: one line of memory instead of a chain of
// blocks. Other threads clear entries of blocks that they drop; a stale read leads to a dropped block's
// entry, which is safe.
struct FrontEntry {
  static constexpr uint32_t kCrossing = 1u << 31;  // in mode: it goes on in another page, to be looked at too
  uint64_t place;                                  // place_key()
  uint32_t host;                                   // from the start of the code cache; 0: empty
  uint32_t mode;
};
inline constexpr unsigned kFrontBits = 16, kFrontEntries = 1u << kFrontBits;
// Never 0: blocks of RAM are numbered from 1.
inline uint64_t place_key(const memory::RamBlock& ram, uint64_t offset) {
  return static_cast<uint64_t>(ram.id()) << 48 | offset;
}
inline unsigned front_index(uint64_t place, uint32_t mode) {
  return static_cast<unsigned>((place ^ static_cast<uint64_t>(mode) << 40) * 0x9e3779b97f4a7c15u >>
                               (64 - kFrontBits));
}

struct HeatSample {
  uint64_t place;  // place_key(); ~0: empty
  uint32_t mode, count;
};
inline constexpr unsigned kHeatSamples = 64;

struct FetchEntry {
  uint64_t page;  // linear page address; kEmptyTag: none
  memory::RamBlock* ram;
  uint64_t offset;
  uint64_t place;  // place_key(ram, offset)
  uint64_t stamp;  // valid while it is Context::fetch_stamp[global]
  bool global;
};

// A store that translated code is about to do on `bounce` or on a code page; finished after the instruction.
struct PendingStore {
  uint64_t linear;
  uint32_t size;
  bool locked;   // the other vCPUs are stopped until it is done
  uint8_t kind;  // 0: none, 1: bounce to write back, 2: RAM written in place, drop code
  memory::RamBlock* ram;
  uint64_t ram_offset;
};

struct Counters {
  uint64_t blocks, guest_insns, guest_bytes, host_bytes, dropped, revived, slow_stores, flushes, cache_resets;
  uint64_t access_misses, lookups, helper_calls, interrupts, exceptions, page_code_stops;
};

struct Context {
  cpu::Core core;  // first: gs:0

  uint64_t rip_page;  // instruction pointer of the current page's first byte: rip = rip_page + page offset
  uint32_t mode;      // mode::*
  uint32_t bank;
  uint64_t
      segment_end[2][6];  // [write][ES..GS]: first offset beyond the segment for simple segments, 0: ask C++
  uint64_t saved_rsp;     // host stack on entry: below it only expected returns, see emit_flow.cc
  uint64_t return_limit;  // and how far they may reach
  uint64_t scratch[5];
  uint32_t signal_vector;
  uint32_t signal_page_offset;
  uint8_t in_cold;       // guest vector state is in core.s.xsave, not in the host's registers
  uint8_t irq_deferred;  // an interrupt is pending but IF was 0
  uint8_t debugger_step;
  uint8_t watching;      // data points are armed: kWatch
  uint8_t guest_hits;    // DR0-DR3 that the instruction's accesses touched
  uint8_t debugger_hit;  // they touched a debugger's watchpoint, this one:
  uint64_t debugger_hit_linear;
  const cpu::DebugRequest* debug;  // or null
  uint64_t debug_skip;             // the code point that the last exit was about: not hit again at once
  uint8_t debug_exit;              // cpu::DebugHit::Kind of the last Exit::Debug
  uint8_t ungrouped_once;          // the next block is entered as its ungrouped variant
  uint8_t ready_banks;             // whose tables have been filled with what empty entries hold
  uint8_t always_single;           // option: one instruction a block
  uint8_t quick_on;                // option: find_quick()
  uint8_t mode_stale;              // the mode must be computed anew
  ControlMode control;
  uint8_t hot_on;             // option
  uint8_t link_on;            // option
  uint8_t large_on;           // option: large_entry is filled
  uint8_t log_exec, log_int;  // -d exec, -d int
  uint8_t exit_reason;        // cpu::Exit + 1
  uint8_t single_once;        // the next block is to be of one instruction
  uint8_t single_ran;         // a single-instruction block was entered: finish its step at the next dispatch
  uint8_t trap_after_single;  // RFLAGS.TF was set when it began
  uint64_t fetch_stamp[2];    // [global]; changes with every flush of such pages
  uint64_t cr3_seen;
  uint32_t pkru_seen;
  uint32_t write_drops;  // how often drop_write_entries was here
  PendingStore store;
  uint64_t group_delta[kMaxGroups];  // what the groups of the running block found in the TLB
  alignas(64) uint8_t bounce[2 * 4096];

  Context* self;
  uint64_t xsave_mask;
  uint32_t host_mxcsr;  // for our own C++
  CodeCache* cache;
  DbtShared* owner;
  Counters counters;

  LargePages large_code;  // behind jump and fetch entries, since the last full flush
  // By LinkSite::far_slot: the rip_page for which the link's target is mapped where it leads, or kNoPage.
  uint64_t far_page[kFarSlots];
  alignas(8) uint8_t far_dirty[kFarSlots / kFarChunk];
  uint8_t far_filled[kBanks];  // some chunk of the bank is dirty

  FetchEntry fetch[kBanks][kFetchEntries];
  FrontEntry front[kFrontEntries];
  HeatSample heat[kHeatSamples];
  alignas(64) AccessBank access[kBanks];
  alignas(64) JumpBank jump[kBanks];
};

#define RHEA_CTX(field) offsetof(::rhea::dbt::Context, field)

inline Context& context_of(cpu::Core& c) {
  return *static_cast<Context*>(c.engine);
}

}  // namespace rhea::dbt
