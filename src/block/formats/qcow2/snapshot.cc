// Internal snapshots: copies of the L1 table whose L2 tables and clusters are shared by counting.
//
// An image is damaged in the eyes of a check as soon as a count and the flags "the count is 1" in the active
// tables disagree, and no order of writes in place keeps them agreeing. So whatever changes goes to new
// places (refcount blocks and their table, L2 tables whose flags change, both L1 tables, the snapshot table)
// and one write of the header makes all of it valid. Who dies before or after that leaves leaks at most.
#include <algorithm>

#include "base/checked.h"
#include "base/failf.h"
#include "block/formats/qcow2/image.h"

namespace rhea::block::qcow2 {

// Calls `visit` for all clusters with data that an L2 table refers to, in runs.
Result<> Qcow2Image::visit_clusters(uint64_t table_offset, const ClusterVisitor& visit) {
  if (!is_aligned(table_offset, cluster_size_)) return fail(ErrorKind::Invalid, "L2 table offset unaligned");
  const uint8_t* table = TRY(tables_.get(table_offset));
  uint64_t first = 0;
  uint64_t count = 0;
  for (uint64_t i = 0; i < l2_entries_; ++i) {
    const L2Entry entry = load_entry(table, i);
    uint64_t from = 0;
    uint64_t clusters = 1;
    if ((entry.word & kCompressed) != 0) {
      const Packed place = packed_place(entry.word);
      from = place.offset >> header_.cluster_bits;
      clusters = ((place.offset + place.sectors_bytes - 1) >> header_.cluster_bits) - from + 1;
    } else {
      if (data_file_ || (entry.word & kOffsetMask) == 0) continue;
      from = (entry.word & kOffsetMask) >> header_.cluster_bits;
    }
    if (count != 0 && from == first + count) {
      count += clusters;
      continue;
    }
    if (count != 0) TRY(visit(first, count));
    first = from;
    count = clusters;
  }
  return count == 0 ? Result<>() : visit(first, count);
}

// All that an L1 table refers to gets another reference.
Result<> Qcow2Image::add_references(const std::vector<uint64_t>& l1) {
  for (const uint64_t entry : l1) {
    const uint64_t table = entry & kOffsetMask;
    if (table == 0) continue;
    TRY(visit_clusters(table,
                       [this](uint64_t first, uint64_t count) { return refcounts_.add(first, count, 1); }));
    TRY(refcounts_.add(table >> header_.cluster_bits, 1, 1));
  }
  return {};
}

// All that an L1 table refers to loses a reference.
Result<> Qcow2Image::drop_references(const std::vector<uint64_t>& l1) {
  for (const uint64_t entry : l1) {
    const uint64_t table = entry & kOffsetMask;
    if (table == 0) continue;
    TRY(visit_clusters(table,
                       [this](uint64_t first, uint64_t count) { return refcounts_.drop(first, count); }));
    TRY(refcounts_.drop(table >> header_.cluster_bits, 1));
  }
  return {};
}

// The table with the flags that the counts ask for; nothing if it has them.
Result<std::optional<TableCache::Table>> Qcow2Image::with_true_flags(uint64_t table_offset) {
  const uint8_t* there = TRY(tables_.get(table_offset));
  std::optional<TableCache::Table> changed;
  for (uint64_t i = 0; i < l2_entries_ && !data_file_; ++i) {
    L2Entry entry = load_entry(there, i);
    const uint64_t host = entry.word & kOffsetMask;
    if ((entry.word & kCompressed) != 0 || host == 0) continue;
    const bool alone = TRY(refcounts_.get(host >> header_.cluster_bits)) == 1;
    if (alone == ((entry.word & kCopied) != 0)) continue;
    if (!changed) changed.emplace(there, there + cluster_size_);
    entry.word ^= kCopied;
    store_entry(changed->data(), i, entry);
  }
  return changed;
}

// Sets the flags of an L1 table and of the tables below it, which are copied where flags change.
// `references`: how many L1 tables will refer to a copy instead of the table that it replaces.
Result<> Qcow2Image::renew_flags(std::vector<uint64_t>& l1, uint64_t references) {
  for (uint64_t& l1_entry : l1) {
    uint64_t table = l1_entry & kOffsetMask;
    if (table == 0) continue;
    if (const auto changed = TRY(with_true_flags(table))) {
      const uint64_t copy = TRY(refcounts_.allocate(1));
      TRY(file().write(copy, *changed));
      refcounts_.protect(copy, 1);
      TRY(refcounts_.set(copy >> header_.cluster_bits, references));
      for (uint64_t i = 0; i < references; ++i) TRY(refcounts_.drop(table >> header_.cluster_bits, 1));
      tables_.forget(copy);
      table = copy;
    }
    const bool alone = TRY(refcounts_.get(table >> header_.cluster_bits)) == 1;
    l1_entry = table | (alone ? kCopied : 0);
  }
  return {};
}

Result<uint64_t> Qcow2Image::write_to_new_place(std::span<const uint8_t> bytes) {
  if (bytes.empty()) return 0;
  const uint64_t clusters = (bytes.size() + cluster_size_ - 1) >> header_.cluster_bits;
  const uint64_t offset = TRY(refcounts_.allocate(clusters));
  TRY(file().write(offset, bytes));
  refcounts_.protect(offset, bytes.size());
  return offset;
}

void Qcow2Image::give_up_place(uint64_t offset, uint64_t bytes) {
  if (bytes == 0) return;
  refcounts_.unprotect(offset, bytes);
  refcounts_.free(offset, (bytes + cluster_size_ - 1) >> header_.cluster_bits);
}

Result<> Qcow2Image::write_state(const State& state) {
  const auto bytes_of = [](const std::vector<uint64_t>& l1, uint64_t mask) {
    std::vector<uint8_t> raw(l1.size() * 8);
    for (size_t i = 0; i < l1.size(); ++i) store_be(&raw[i * 8], l1[i] & mask);
    return raw;
  };
  std::vector<Snapshot> snapshots = state.snapshots;
  for (Snapshot& one : snapshots) {
    if (one.l1_table_offset == 0 && one.l1_size != 0)
      one.l1_table_offset = TRY(write_to_new_place(bytes_of(state.l1, kOffsetMask)));
  }
  if (state.l1 != l1_) {
    give_up_place(l1_offset_, l1_.size() * 8);
    header_.l1_table_offset = TRY(write_to_new_place(bytes_of(state.l1, ~uint64_t{0})));
    header_.l1_size = static_cast<uint32_t>(state.l1.size());
  }
  const std::vector<uint8_t> table = snapshot_table(snapshots);
  give_up_place(header_.snapshots_offset, snapshot_table_bytes_);
  header_.snapshots_offset = TRY(write_to_new_place(table));
  header_.nb_snapshots = static_cast<uint32_t>(snapshots.size());
  header_.size = state.disk_size;
  TRY(refcounts_.write_shadow());
  TRY(file().flush());
  TRY(write_header());
  TRY(file().flush());
  snapshots_ = std::move(snapshots);
  snapshot_table_bytes_ = table.size();
  return {};
}

// Another state of the image, all of it at once. If that fails, all is as before.
Result<> Qcow2Image::change_state(const std::function<Result<>(State&)>& change) {
  TRY(flush_metadata());
  refcounts_.begin_shadow();
  const Header old_header = header_;
  State state{.l1 = l1_, .snapshots = snapshots_, .disk_size = header_.size};
  auto done = change(state);
  if (done) done = write_state(state);
  if (!done) {
    refcounts_.abandon_shadow();
    header_ = old_header;
    return done;
  }
  refcounts_.finish_shadow();
  for (const uint64_t entry : l1_) {
    if ((entry & kOffsetMask) != 0) refcounts_.unprotect(entry & kOffsetMask, 1);
  }
  for (const uint64_t entry : state.l1) {
    if ((entry & kOffsetMask) != 0) refcounts_.protect(entry & kOffsetMask, 1);
  }
  l1_ = std::move(state.l1);
  l1_offset_ = header_.l1_table_offset;
  size_ = header_.size;
  next_wanted_ = packed_next_ = 0;
  return flush_metadata();
}

// Sets the flag "the count is 1" of all entries of the active tables to what the counts say.
Result<> Qcow2Image::refresh_copied() {
  for (uint64_t& l1_entry : l1_) {
    const uint64_t table_offset = l1_entry & kOffsetMask;
    if (table_offset == 0) continue;
    for (uint64_t i = 0; i < l2_entries_; ++i) {
      uint8_t* table = TRY(tables_.get(table_offset));
      L2Entry entry = load_entry(table, i);
      const uint64_t host = entry.word & kOffsetMask;
      if ((entry.word & kCompressed) != 0 || host == 0 || data_file_) continue;
      const uint64_t old = entry.word;
      entry.word &= ~kCopied;
      if (TRY(refcounts_.get(host >> header_.cluster_bits)) == 1) entry.word |= kCopied;
      if (entry.word == old) continue;
      store_entry(TRY(tables_.get(table_offset)), i, entry);
      tables_.mark_dirty(table_offset);
    }
    const bool alone = TRY(refcounts_.get(table_offset >> header_.cluster_bits)) == 1;
    l1_entry = table_offset | (alone ? kCopied : 0);
  }
  return write_l1(0, l1_.size());
}

Result<> Qcow2Image::create_snapshot(SnapshotInfo info) {
  const std::lock_guard lock(mutex_);
  TRY(before_change());
  if (data_file_ && (header_.autoclear & kRawExternalData) != 0)
    return fail(ErrorKind::Unsupported, "Operation not supported");
  if (snapshots_.size() >= kMaxSnapshots) return fail(ErrorKind::NoSpace, "File too large");
  uint64_t highest = 0;
  for (const Snapshot& one : snapshots_)
    highest = std::max<uint64_t>(highest, std::strtoull(one.info.id.c_str(), nullptr, 10));
  Snapshot fresh;
  fresh.info = std::move(info);
  fresh.info.id = std::to_string(highest + 1);
  fresh.info.name.resize(std::min<size_t>(fresh.info.name.size(), UINT16_MAX));
  fresh.disk_size = header_.size;
  fresh.l1_size = static_cast<uint32_t>(l1_.size());
  return change_state([&](State& state) -> Result<> {
    TRY(add_references(state.l1));
    TRY(renew_flags(state.l1, 2));
    state.snapshots.push_back(fresh);
    return {};
  });
}

Result<> Qcow2Image::apply_snapshot(const std::string& id_or_name) {
  const std::lock_guard lock(mutex_);
  TRY(before_change());
  const Snapshot snapshot = snapshots_[TRY(find_snapshot(id_or_name))];
  const uint64_t size = snapshot.disk_size;
  // The bitmaps are marked on the disk first, and take their new size when the disk has it.
  if (header_.size != size) TRY(resize_bitmaps(header_.size));
  TRY(record(0, size));
  std::vector<uint64_t> wanted = TRY(read_l1(snapshot.l1_table_offset, snapshot.l1_size));
  for (uint64_t& entry : wanted) entry &= kOffsetMask;
  const uint64_t entries = std::max<uint64_t>(wanted.size(), header_.l1_entries_for(size));
  if (entries > kMaxL1Bytes / 8) return fail(ErrorKind::OutOfRange, "File too large");
  wanted.resize(std::max<size_t>(l1_.size(), static_cast<size_t>(entries)));
  const bool other_size = header_.size != size;
  const auto applied = change_state([&](State& state) -> Result<> {
    TRY(add_references(wanted));
    TRY(drop_references(state.l1));
    TRY(renew_flags(wanted, 1));
    state.l1 = std::move(wanted);
    state.disk_size = size;
    return {};
  });
  if (!applied) return applied;
  return other_size ? resize_bitmaps(size) : Result<>();
}

Result<> Qcow2Image::delete_snapshot(const std::string& id_or_name) {
  const std::lock_guard lock(mutex_);
  TRY(before_change());
  const size_t index = TRY(find_snapshot(id_or_name));
  const Snapshot gone = snapshots_[index];
  const std::vector<uint64_t> l1 = TRY(read_l1(gone.l1_table_offset, gone.l1_size));
  return change_state([&](State& state) -> Result<> {
    state.snapshots.erase(state.snapshots.begin() + static_cast<std::ptrdiff_t>(index));
    TRY(drop_references(l1));
    give_up_place(gone.l1_table_offset, uint64_t{gone.l1_size} * 8);
    return renew_flags(state.l1, 1);
  });
}

Result<> Qcow2Image::read_from_snapshot(const std::string& id_or_name) {
  const std::lock_guard lock(mutex_);
  const Snapshot& snapshot = snapshots_[TRY(find_snapshot(id_or_name))];
  l1_ = TRY(read_l1(snapshot.l1_table_offset, snapshot.l1_size));
  size_ = snapshot.disk_size;
  reading_snapshot_ = true;
  return {};
}

}  // namespace rhea::block::qcow2
