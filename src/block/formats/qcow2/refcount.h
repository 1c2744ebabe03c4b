// Refcounts of clusters and the allocation of clusters.
//
// Terms: the refcount table lists refcount blocks, each a cluster of counts. A cluster whose block does not
// exist has count 0. Invariant on the disk: a count is never lower than the number of references, so that a
// process that dies leaves leaks at most. Hence counts that rise may be written at any time and are written
// before what refers to the cluster; counts that fall wait (free()) until apply_frees(), which the image
// calls after the tables without the reference are written. A freed cluster is not used again before that.
//
// Counts that must change together with the flags in the tables ("the count is 1") change in a shadow: from
// begin_shadow() on, each block that changes moves to a place that the table on the disk does not list, and
// one write of the header makes all of it valid.
//
// Caller holds the image's lock.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <unordered_set>
#include <vector>

#include "block/formats/qcow2/header.h"
#include "block/formats/qcow2/table_cache.h"
#include "block/node.h"

namespace rhea::block::qcow2 {

// One count in a refcount block of 2^order bits each.
uint64_t load_refcount(const uint8_t* block, uint64_t index, unsigned order);
void store_refcount(uint8_t* block, uint64_t index, unsigned order, uint64_t value);

constexpr uint64_t kMaxCluster = static_cast<uint64_t>(INT64_MAX) >> kMinClusterBits;

class Refcounts {
 public:
  // `write_header` is called after the header's refcount fields changed.
  Refcounts(BlockNode& file, Header& header, std::function<Result<>()> write_header);

  Result<> load();
  // The table's entries: offsets of the blocks, 0 where there is none.
  const std::vector<uint64_t>& table() const { return table_; }
  uint64_t max_refcount() const;

  Result<uint64_t> get(uint64_t cluster);
  // Whether the count is known to be 1 without a look at the disk: for walks over whole images.
  bool is_one_at_hand(uint64_t cluster) const {
    const uint64_t index = cluster >> (header_.cluster_bits - 1);
    if (header_.refcount_order != 4 || index >= table_.size()) return false;
    const uint8_t* block = cache_.last_if(table_[index]);
    const uint64_t inside = cluster & ((uint64_t{1} << (header_.cluster_bits - 1)) - 1);
    return block != nullptr && load_be<uint16_t>(block + inside * 2) == 1;
  }
  // Adds `difference` to each of the clusters' counts at once.
  Result<> add(uint64_t first_cluster, uint64_t count, int64_t difference);
  Result<> set(uint64_t cluster, uint64_t value);

  // Clusters in a row, all of them; the offset of the first.
  Result<uint64_t> allocate(uint64_t count);
  // At least one cluster and at most `count` in a row. Prefers to go on at `wanted` (an offset; 0: anywhere).
  struct Run {
    uint64_t offset = 0;
    uint64_t count = 0;
  };
  Result<Run> allocate_up_to(uint64_t count, uint64_t wanted = 0);
  // Takes one reference away later, when apply_frees() is called. unmap: whose data nobody wants (a discard);
  // where nobody else refers to them the file gets a hole.
  void free(uint64_t offset, uint64_t count, bool unmap = false);
  Result<> apply_frees();
  bool frees_pending() const { return !pending_.empty(); }
  // Takes one reference away: at once where others remain, else with apply_frees().
  Result<> drop(uint64_t first_cluster, uint64_t count);

  // Nothing may be dirty or pending.
  void begin_shadow();
  // Writes the blocks and a new table. The caller makes them valid by writing the header, whose fields are
  // set.
  Result<> write_shadow();
  // The old blocks and the old table are given up.
  void finish_shadow();
  // All is as it was before begin_shadow(), the header's fields too.
  void abandon_shadow();

  Result<> write_back() { return cache_.write_all(); }
  bool any_dirty() const { return cache_.any_dirty(); }

  // Clusters that are never given out whatever their count says: damaged images may count metadata as free.
  void protect(uint64_t offset, uint64_t bytes);
  bool is_protected(uint64_t offset) const { return protected_.contains(offset >> header_.cluster_bits); }
  void unprotect(uint64_t offset, uint64_t bytes);
  // Repairs: another table, written here, whose blocks are on the disk already. An empty one only forgets.
  Result<> replace_table(const std::vector<uint64_t>& table, uint64_t offset, uint64_t clusters);
  // Whether at least so many (not 0) are in use.
  Result<bool> has_used(uint64_t clusters);
  // One past the highest cluster in use, as far as counts say.
  Result<uint64_t> end_of_used();

 private:
  struct Freed {
    uint64_t offset = 0;
    uint64_t count = 0;
    bool unmap = false;
  };
  Result<> unmap(const Freed& run);

  Result<uint8_t*> block_for(uint64_t cluster, bool create, uint64_t& offset);
  Result<> create_block(uint64_t index);
  Result<> move_block(uint64_t index);
  Result<> grow_table(uint64_t index);
  Result<> grow_shadow_table(uint64_t index);
  Result<uint64_t> allocate_large(uint64_t count);
  Result<bool> is_free(uint64_t cluster);

  struct Shadow {
    std::vector<uint64_t> old_table;
    std::unordered_set<uint64_t> old_protected;
    uint64_t old_hint;
    uint64_t old_offset;
    uint32_t old_clusters;
    std::unordered_set<uint64_t> moved;  // indexes of blocks that the table on the disk does not list
  };

  BlockNode& file_;
  Header& header_;
  std::function<Result<>()> write_header_;
  TableCache cache_;
  std::vector<uint64_t> table_;
  std::vector<Freed> pending_;
  std::unordered_set<uint64_t> protected_;
  std::optional<Shadow> shadow_;
  uint64_t hint_ = 0;  // no cluster below this one is free
};

}  // namespace rhea::block::qcow2
