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

#include "engine/dbt/insn.h"
#include "memory/ram_block.h"

namespace rhea::dbt {

struct Block;

// A patchable jump from one block to another. Within a guest page that is all there is to it. A far link
// leads to another page: it is linked to the place that was mapped there first, for good, and each vCPU keeps
// in Context::far_page for which rip_page it has seen that mapping since its last flush.
struct LinkSite {
  uint8_t* rel32;     // writable view
  uint8_t* unlinked;  // its own stub, where the jump goes while it is not linked
  Block* from;
  Block* to = nullptr;
  uint32_t mode;  // of the block to link to
  // Null: ask the dispatcher. Far links: what the jump table says of the target when the mapping is that one.
  const uint8_t* to_host = nullptr;
  int32_t target_offset;  // from the first byte of the page
  uint32_t far_slot = 0;  // 0: not a far link
  const memory::RamBlock* place_ram = nullptr;
  uint64_t place_offset = 0;
  LinkSite* next_incoming = nullptr;
  LinkSite* next_outgoing = nullptr;  // of the block it is from
};

// LinkSite::to_host where the jump table must be asked each time: the instruction there goes on in another
// page.
inline const uint8_t* const kByTable = reinterpret_cast<const uint8_t*>(1);

// From this host offset on the code belongs to this guest instruction (ascending): maps a host fault (#DE,
// #XM, #MF, alignment) back.
struct FaultPoint {
  uint32_t host_begin;  // from the block's start; cold code is above all hot code
  uint16_t page_offset;
  bool flags_in_slot;  // not in EFLAGS
  bool rsi_in_t2 = false;
};

struct alignas(64) Block {
  // What finding it reads, in one line of the host's cache.
  std::atomic<Block*> hash_next{nullptr};
  memory::RamBlock* ram;
  uint64_t offset;  // of its first byte in ram
  uint32_t mode;
  std::atomic<bool> dropped{false};
  bool crossing = false;  // one instruction that continues on another page
  uint8_t* dispatched = nullptr;
  uint8_t* direct = nullptr;
  uint64_t lines = 0;  // 64-byte lines of its page that it was made from
  Block* page_next = nullptr;

  memory::RamBlock* second_ram = nullptr;
  uint64_t second_offset = 0;
  uint16_t insns = 0;
  uint16_t flags_live_in = 0;
  uint32_t guest_bytes = 0;

  uint8_t* start = nullptr;  // writable view, as all of these
  uint8_t* paged = nullptr;  // entry with rip_page to be set from T0
  uint8_t* end = nullptr;
  uint8_t* cold_start = nullptr;  // its stubs
  uint8_t* cold_end = nullptr;
  size_t host_bytes() const { return static_cast<size_t>((end - start) + (cold_end - cold_start)); }

  LinkSite* incoming = nullptr;
  LinkSite* links = nullptr;  // first by next_outgoing
  std::span<const FaultPoint> faults;
};

// One page of RAM that code has been made from.
struct CodePage {
  std::atomic<uint64_t> lines{0};
  Block* blocks = nullptr;  // first by page_next
  uint32_t drops = 0;
};

}  // namespace rhea::dbt
