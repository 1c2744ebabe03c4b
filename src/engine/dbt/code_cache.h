// The memory that translated code lives in and the index of blocks. Shared by all vCPUs. Mutation needs the
// lock, whose token is in the signatures; find() does not.
#pragma once

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "engine/dbt/arena.h"
#include "engine/dbt/block.h"
#include "engine/dbt/code_memory.h"
#include "engine/dbt/far_slots.h"
#include "engine/dbt/mode.h"

namespace rhea::dbt {

using CacheLock = std::unique_lock<std::recursive_mutex>;

class CodeCache {
 public:
  // bytes: capacity. huge_pages: where the host has them. Errors: NoSpace.
  static Result<std::unique_ptr<CodeCache>> create(uint64_t bytes, bool huge_pages = true);
  ~CodeCache();

  CacheLock lock() { return CacheLock(mutex_); }

  // Hot, no lock: the live block or null. A crossing block must be checked by the caller for its second page.
  Block* find(const memory::RamBlock& ram, uint64_t offset, uint32_t mode) const;
  // Changes with every drop: whoever may have dropped its own block compares.
  uint64_t drop_epoch() const { return drop_epoch_.load(std::memory_order_relaxed); }
  uint64_t resets() const { return resets_.load(std::memory_order_relaxed); }
  // Lines of the page that hold code (0: none).
  uint64_t code_lines(const memory::RamBlock& ram, uint64_t page) const;
  // Counts a store to a page with code that meets none. True: there have been so many that its code had
  // better go, so that stores are fast again: often it ran once (a stack in what was start-up code). Each
  // time it takes twice as many.
  bool near_store(const memory::RamBlock& ram, uint64_t page) const;

  // Room for one more block of the largest size; false: reset() is due.
  bool has_room() const;
  // Memory for the next block is at hand.
  void prepare(CacheLock&);
  uint8_t* cursor() const { return cursor_; }            // of what runs straight through
  uint8_t* cold_cursor() const { return cold_cursor_; }  // of stubs: elsewhere, so that hot code is dense
  Block& make_block(CacheLock&);
  CrossingBlock& make_crossing_block(CacheLock&);
  LinkSite& make_link(CacheLock&);
  // An index into Context::far_page that no other link uses until the next reset; 0: none left.
  uint32_t make_far_slot(CacheLock&, Bank bank);
  Bank far_chunk_bank(unsigned chunk) const { return far_banks_[chunk]; }
  unsigned far_chunks() const { return far_chunks_; }
  const Insn* keep(CacheLock&, const Insn& insn);
  std::span<const FaultPoint> keep(CacheLock&, std::span<const FaultPoint> points);
  std::span<const ByteRange> keep(CacheLock&, std::span<const ByteRange> ranges);
  // The block's code is in place, its `end` and `cold_end` set; from now on it is found.
  void publish(CacheLock&, Block& block);
  // Drops blocks that were made from the range, at times from anything in its lines; returns how many.
  unsigned drop_range(CacheLock&, memory::RamBlock& ram, uint64_t offset, uint64_t length);
  void drop(CacheLock&, Block& block);
  // A dropped block of this place that was made from the bytes that are there now, live again; or null.
  Block* revive(CacheLock&, memory::RamBlock& ram, uint64_t offset, uint32_t mode);
  void link(CacheLock&, LinkSite& site, Block& to);
  // What was saved on does not work well for this block: it is dropped and its place translated differently
  // until the next reset.
  enum Concession : uint8_t {
    kNoGroups = 1,      // groups fail too often, even narrow ones
    kAlternatives = 2,  // stores often need their alternative paths
    kHot = 4,           // runs so often that its accesses are worth slots
    kNarrowGroups = 8,  // groups fail often: only what is close together shares a check
  };
  void concede(CacheLock&, Block& block, Concession what);
  uint8_t concessions(const memory::RamBlock* ram, uint64_t offset) const {
    if (ram == nullptr || concessions_.empty()) return 0;
    auto it = concessions_.find(static_cast<uint64_t>(ram->id()) << 48 | offset);
    return it == concessions_.end() ? uint8_t{0} : it->second;
  }
  // Everything goes; all vCPUs are at safepoints.
  void reset(CacheLock&);
  void set_thunks_end();  // what was emitted so far stays over resets

  uint32_t place_of(const uint8_t* writable) const { return static_cast<uint32_t>(writable - rw_); }
  uint8_t* at_place(uint32_t place) const { return rw_ + place; }
  uint8_t* executable(const uint8_t* writable) const { return const_cast<uint8_t*>(writable) + (rx_ - rw_); }
  uint8_t* writable(const uint8_t* executable_address) const {
    return const_cast<uint8_t*>(executable_address) - (rx_ - rw_);
  }
  const uint8_t* executable_start() const { return rx_; }
  bool contains(uintptr_t executable_address) const {
    return executable_address - reinterpret_cast<uintptr_t>(rx_) < size_;
  }
  // The block whose code holds this executable address, or null. Any thread inside a signal handler.
  const Block* block_at(uintptr_t executable_address) const;
  void emitted(uint8_t* end) { cursor_ = end; }
  uint64_t used() const { return static_cast<uint64_t>((cursor_ - rw_) + (cold_cursor_ - cold_begin_)); }
  uint64_t index_bytes() const { return arena_.used(); }
  uint64_t capacity() const { return size_; }

  // Called under the lock when a chunk of far slots is put to use: it must read as empty everywhere.
  void on_far_chunk(std::function<void(unsigned chunk)> listener) { far_listener_ = std::move(listener); }
  // Called under the lock for every block dropped.
  void on_drop(std::function<void(const Block&)> listener) { drop_listener_ = std::move(listener); }

 private:
  static constexpr unsigned kHashBits = 18;
  static constexpr uint32_t kPatience = 8;  // drops in a page until more is done about them
  static constexpr unsigned kMaxRams = 256;
  struct PageTable {
    std::atomic<CodePage*>* pages = nullptr;
    uint64_t count = 0;
  };

  CodeCache() = default;
  static unsigned hash(uint32_t ram_id, uint64_t offset, uint32_t mode) {
    uint64_t h = (offset ^ (static_cast<uint64_t>(ram_id) << 40) ^ (static_cast<uint64_t>(mode) << 44)) *
                 0x9e3779b97f4a7c15u;
    return static_cast<unsigned>(h >> (64 - kHashBits));
  }
  CodePage* page_at(const memory::RamBlock& ram, uint64_t page) const;
  CodePage& page_for(memory::RamBlock& ram, uint64_t page);
  void find_by_hash(Block& block);
  void keep_source(Block& block);
  void retire(CodePage& page, Block& block);
  void attach(Block& block, memory::RamBlock& ram, uint64_t page, uint64_t lines);

  std::recursive_mutex mutex_;
  std::function<void(const Block&)> drop_listener_;
  std::function<void(unsigned)> far_listener_;
  std::atomic<unsigned> far_chunks_ = 0;  // written behind its chunk's bank; vCPUs read it without the lock
  uint32_t far_next_[kBanks] = {};        // a multiple of the chunk's size: a new one is due
  Bank far_banks_[kFarSlots / kFarChunk] = {};
  std::atomic<uint64_t> drop_epoch_{0}, resets_{0};
  CodeMemory memory_, index_memory_;
  uint8_t* rw_ = nullptr;
  uint8_t* rx_ = nullptr;
  uint64_t size_ = 0;
  std::atomic<uint8_t*> cursor_ = nullptr;
  uint8_t* thunks_end_ = nullptr;
  uint8_t* cold_begin_ = nullptr;  // thunks and hot code are below, stubs above
  std::atomic<uint8_t*> cold_cursor_ = nullptr;
  struct Free {
    void operator()(void* p) const { std::free(p); }
  };
  std::unique_ptr<std::atomic<Block*>[], Free> heads_;  // from calloc(): pages are there when touched
  PageTable tables_[kMaxRams];
  Arena arena_;                                        // blocks, links, instructions, pages
  std::vector<Block*> by_address_;                     // ascending start, and ascending cold_start
  std::unordered_map<uint64_t, uint8_t> concessions_;  // by RAM id << 48 | offset
};

}  // namespace rhea::dbt
