// Clusters of metadata (L2 tables, refcount blocks) in memory: read on demand, changed in place, written back
// later. Bounded: when it is full, clean ones go first; if all are dirty the owner must write back.
// Caller holds the image's lock.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <unordered_map>
#include <vector>

#include "block/node.h"

namespace rhea::block::qcow2 {

class TableCache {
 public:
  using Table = std::vector<uint8_t>;

  TableCache(BlockNode& file, uint64_t cluster_size, uint64_t max_bytes);
  // Called before a dirty table must leave: has to write back this cache (write_all) after what must be on
  // the disk before it.
  void set_make_room(std::function<Result<>()> make_room) { make_room_ = std::move(make_room); }

  // The table at `offset`. The pointer stays good until the next call of get() or create().
  Result<uint8_t*> get(uint64_t offset);
  // The same if it is the one asked for last, else null.
  const uint8_t* last_if(uint64_t offset) const {
    return offset == last_offset_ ? last_->bytes.data() : nullptr;
  }
  // Whether get() needs no reading.
  bool has(uint64_t offset) const { return offset == last_offset_ || tables_.contains(offset); }
  // A new table of zeros, dirty.
  Result<uint8_t*> create(uint64_t offset);
  void mark_dirty(uint64_t offset);
  void forget(uint64_t offset);
  void forget_all() {
    tables_.clear();
    dirty_count_ = 0;
    last_offset_ = UINT64_MAX;
  }
  bool any_dirty() const { return dirty_count_ != 0; }
  // In the order of their offsets.
  Result<> write_all();

 private:
  struct Entry {
    Table bytes;
    bool dirty = false;
    uint64_t last_use = 0;
  };
  Result<> make_place();

  BlockNode& file_;
  uint64_t cluster_size_;
  size_t max_tables_;
  std::function<Result<>()> make_room_;
  std::unordered_map<uint64_t, Entry> tables_;
  size_t dirty_count_ = 0;
  uint64_t now_ = 0;
  uint64_t last_offset_ = UINT64_MAX;  // the one asked for last, which is asked for again mostly
  Entry* last_ = nullptr;
};

}  // namespace rhea::block::qcow2
