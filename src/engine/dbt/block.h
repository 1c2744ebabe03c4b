// Blocks of translated code, the pages they come from and the links between them.
//
// A block is keyed by (RAM block, offset, mode): never by its linear or physical address. Life cycle: made
// under the cache lock, found without it, dropped (entry overwritten by a jump to the dispatcher, incoming
// links undone) when its source changes, freed only when the whole cache is reset with every vCPU at a
// safepoint.
#pragma once

#include <atomic>
#include <cstdint>
#include <span>

#include "engine/dbt/arena.h"
#include "engine/dbt/insn.h"
#include "memory/ram_block.h"

namespace rhea::dbt {

struct Block;

// A patchable jump from one block to another. Within a guest page that is all there is to it. A far link
// leads to another page: it is linked to the place that was mapped there first, for good, and each vCPU keeps
// in Context::far_page for which rip_page it has seen that mapping since its last flush.
struct LinkSite {
  uint32_t rel32 = 0;     // from the start of the cache
  uint32_t unlinked = 0;  // its own stub, where the jump goes while it is not linked
  Near<Block> from;
  Near<Block> to;
  uint32_t mode = 0;          // of the block to link to
  int32_t target_offset = 0;  // from the first byte of the page
  uint32_t far_slot = 0;      // 0: not a far link
  // 0: ask the dispatcher. Far links: the low half of what the jump table says of the target when the mapping
  // is that one; all of the cache's addresses differ in it.
  uint32_t to_host = 0;
  bool slotted = false;  // live status flags are in their slot here
  // A predicted indirect jump: a far link whose slot holds the whole target. Linked when that has been the
  // same a few times (lazy binding changes it once): the low half of where it went last is in target_offset.
  bool predicted = false;
  uint8_t seen_times = 0;
  Near<Block> place;  // a far link's first target, dropped or not: where it is made from counts
  Near<LinkSite> next_incoming;
  Near<LinkSite> next_outgoing;  // of the block it is from
};

// LinkSite::to_host where the jump table must be asked each time: the instruction there goes on in another
// page.
inline constexpr uint32_t kByTable = 1;

// From this host offset on the code belongs to this guest instruction (ascending): maps a host fault (#DE,
// #XM, #MF, alignment) back.
struct FaultPoint {
  uint32_t host_begin;  // from the block's start; cold code is above all hot code
  uint16_t page_offset;
  bool flags_in_slot;  // not in EFLAGS
  bool rsi_in_t2 = false;
};

// Bytes of the block's page, `end` not included.
struct ByteRange {
  uint16_t begin, end;
};

// There are as many as a tenth of the guest's instructions: small.
struct alignas(32) Block {
  // What finding it reads comes first, in one line of the host's cache.
  std::atomic<Block*> hash_next{nullptr};
  memory::RamBlock* ram = nullptr;
  uint64_t offset = 0;  // of its first byte in ram
  uint32_t mode = 0;
  std::atomic<bool> dropped{false};
  const bool crossing;       // one instruction that continues on another page: it is a CrossingBlock
  uint8_t paged_at = 0;      // from `start`: entry with rip_page to be set from T0
  uint8_t direct_at = 0;     // from `start`
  uint64_t lines = 0;        // 64-byte lines of its page that it was made from
  uint8_t* start = nullptr;  // writable view, as all of these
  uint32_t hot_bytes = 0;
  uint32_t cold_at = 0, cold_bytes = 0;  // its stubs, from `start`
  uint16_t guest_bytes = 0, insns = 0, flags_live_in = 0, fault_count = 0;
  uint8_t slotted_at = 0;  // from `start`: entry with rip_page set and flags in their slot
  uint8_t gate_at = 0;     // from `start`: all entries pass here
  uint8_t looked_count = 0;
  uint8_t conceded = 0;  // CodeCache::Concession
  Near<const FaultPoint> fault_points;
  Near<const ByteRange> looked_at;  // instructions of the page outside the block that its code depends on
  Near<const uint8_t> source;       // the bytes it was made from, then those looked at; null: not kept
  Near<Block> page_next;            // of those that live, or of those that may be used again
  Near<LinkSite> incoming;
  Near<LinkSite> links;  // first by next_outgoing

  explicit Block(bool goes_on = false) : crossing(goes_on) {}
  static constexpr unsigned kDispatchedAt = 5;  // behind a call
  uint8_t* dispatched() const { return start + kDispatchedAt; }
  uint8_t* paged() const { return start + paged_at; }
  uint8_t* direct() const { return start + direct_at; }
  uint8_t* slotted() const { return start + slotted_at; }
  uint8_t* gate() const { return start + gate_at; }
  uint8_t* end() const { return start + hot_bytes; }
  uint8_t* cold_start() const { return start + cold_at; }
  uint8_t* cold_end() const { return cold_start() + cold_bytes; }
  size_t host_bytes() const { return size_t{hot_bytes} + cold_bytes; }
  std::span<const FaultPoint> faults() const { return {fault_points.get(), fault_count}; }
  // Whether it was made from one of the bytes from `first` to `last` of its page.
  bool made_from(uint64_t first, uint64_t last) const;
  bool goes_on_at(const memory::RamBlock* second_ram, uint64_t second_offset) const;
};

struct CrossingBlock : Block {
  CrossingBlock() : Block(true) {}
  memory::RamBlock* second_ram = nullptr;
  uint64_t second_offset = 0;
  Near<CrossingBlock> ending_next;  // of those that end on the same page
};

inline bool Block::goes_on_at(const memory::RamBlock* second_ram, uint64_t second_offset) const {
  const auto* c = static_cast<const CrossingBlock*>(this);
  return crossing && c->second_ram == second_ram && c->second_offset == second_offset;
}

inline bool Block::made_from(uint64_t first, uint64_t last) const {
  const uint64_t begin = offset % 4096;
  if (first < begin + guest_bytes && last >= begin) return true;
  for (const ByteRange& r : std::span(looked_at.get(), looked_count)) {
    if (first < r.end && last >= r.begin) return true;
  }
  return false;
}

// One page of RAM that code has been made from.
struct CodePage {
  std::atomic<uint64_t> lines{0};
  Near<Block> blocks;          // first by page_next
  Near<CrossingBlock> ending;  // begun on another page, first by ending_next; some may have been dropped
  Near<Block> retired;         // dropped, to be used again when their bytes are back
  uint32_t drops = 0, retired_count = 0;
  // Stores beside the code since the page last lost it all for their sake, and how many the next time takes.
  std::atomic<uint32_t> near_stores{0}, near_limit{4096};
};

}  // namespace rhea::dbt
