// Refcounts that change in a shadow, see refcount.h.
#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/checked.h"
#include "base/failf.h"
#include "block/formats/qcow2/refcount.h"

namespace rhea::block::qcow2 {

void Refcounts::begin_shadow() {
  CHECK(!shadow_ && pending_.empty() && !cache_.any_dirty());
  shadow_ = Shadow{.old_table = table_,
                   .old_protected = protected_,
                   .old_hint = hint_,
                   .old_offset = header_.refcount_table_offset,
                   .old_clusters = header_.refcount_table_clusters,
                   .moved = {}};
}

// Gives a block that is about to change another place, once. Counting that place may move another block.
Result<> Refcounts::move_block(uint64_t index) {
  if (!shadow_ || index >= table_.size() || table_[index] == 0 || shadow_->moved.contains(index)) return {};
  uint64_t old = 0;
  const uint8_t* there = TRY(block_for(index * header_.refcounts_per_block(), false, old));
  const TableCache::Table content(there, there + header_.cluster_size());
  while (!TRY(is_free(hint_))) {
    if (++hint_ > kMaxCluster) return fail(ErrorKind::OutOfRange, "File too large");
  }
  const uint64_t cluster = hint_++;
  const uint64_t offset = cluster << header_.cluster_bits;
  std::ranges::copy(content, TRY(cache_.create(offset)));
  table_[index] = offset;
  shadow_->moved.insert(index);
  protect(offset, 1);
  return set(cluster, 1);
}

Result<> Refcounts::grow_shadow_table(uint64_t index) {
  const uint64_t cluster_size = header_.cluster_size();
  const uint64_t entries = std::max(index + 1, uint64_t{table_.size()} * 3 / 2);
  const uint64_t bytes = align_down(entries * 8 + cluster_size - 1, cluster_size);
  if (bytes > std::max(kMaxRefcountTableBytes, cluster_size))
    return fail(ErrorKind::OutOfRange, "File too large");
  table_.resize(static_cast<size_t>(bytes / 8));
  return {};
}

Result<> Refcounts::drop(uint64_t first_cluster, uint64_t count) {
  for (uint64_t cluster = first_cluster; cluster < first_cluster + count; ++cluster) {
    if (TRY(get(cluster)) > 1) {
      TRY(add(cluster, 1, -1));
    } else {
      free(cluster << header_.cluster_bits, 1);
    }
  }
  return {};
}

Result<> Refcounts::write_shadow() {
  const auto clusters_now = [this] {
    return (table_.size() * 8 + header_.cluster_size() - 1) >> header_.cluster_bits;
  };
  uint64_t clusters = clusters_now();
  uint64_t offset = TRY(allocate(clusters));
  while (clusters_now() != clusters) {
    // Counting the table's place made it longer.
    TRY(add(offset >> header_.cluster_bits, clusters, -1));
    clusters = clusters_now();
    offset = TRY(allocate(clusters));
  }
  table_.resize(static_cast<size_t>((clusters << header_.cluster_bits) / 8));
  std::vector<uint8_t> raw(table_.size() * 8);
  for (size_t i = 0; i < table_.size(); ++i) store_be(&raw[i * 8], table_[i]);
  TRY(cache_.write_all());
  TRY(file_.write(offset, raw));
  protect(offset, raw.size());
  header_.refcount_table_offset = offset;
  header_.refcount_table_clusters = static_cast<uint32_t>(clusters);
  return {};
}

void Refcounts::finish_shadow() {
  const Shadow old = *std::exchange(shadow_, std::nullopt);
  const auto give_up = [this](uint64_t offset, uint64_t clusters) {
    unprotect(offset, clusters << header_.cluster_bits);
    free(offset, clusters);
  };
  for (const uint64_t index : old.moved) {
    if (index >= old.old_table.size() || old.old_table[index] == 0) continue;
    cache_.forget(old.old_table[index]);
    give_up(old.old_table[index], 1);
  }
  give_up(old.old_offset, old.old_clusters);
}

void Refcounts::abandon_shadow() {
  Shadow old = *std::exchange(shadow_, std::nullopt);
  cache_.forget_all();
  pending_.clear();
  table_ = std::move(old.old_table);
  protected_ = std::move(old.old_protected);
  hint_ = old.old_hint;
  header_.refcount_table_offset = old.old_offset;
  header_.refcount_table_clusters = old.old_clusters;
}

}  // namespace rhea::block::qcow2
