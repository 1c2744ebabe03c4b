// Internal snapshots: copies of the L1 table whose L2 tables and clusters are shared by counting.
#include <algorithm>
#include <cstring>
#include <ctime>

#include "base/checked.h"
#include "base/failf.h"
#include "block/formats/qcow2/image.h"

namespace rhea::block::qcow2 {
namespace {

constexpr uint32_t kMaxExtraData = 1024;

std::string text_of(std::span<const uint8_t> bytes) {
  return {bytes.begin(), bytes.end()};
}

}  // namespace

Result<> Qcow2Image::load_snapshots() {
  snapshots_.clear();
  uint64_t at = header_.snapshots_offset;
  const uint64_t file_size = file().size();
  for (uint32_t i = 0; i < header_.nb_snapshots; ++i) {
    at = (at + 7) & ~uint64_t{7};
    uint8_t bytes[sizeof(RawSnapshot)];
    if (!range_within(at, sizeof bytes, file_size))
      return fail(ErrorKind::Invalid, "Failed to read snapshot table");
    TRY(file().read(at, bytes));
    RawSnapshot raw;
    std::memcpy(&raw, bytes, sizeof raw);
    at += sizeof raw;
    const uint32_t extra_size = raw.extra_data_size;
    if (extra_size > kMaxExtraData)
      return fail(ErrorKind::Invalid, "Too much extra metadata in snapshot table entry");
    std::vector<uint8_t> rest(extra_size + raw.id_size + raw.name_size);
    if (!range_within(at, rest.size(), file_size))
      return fail(ErrorKind::Invalid, "Failed to read snapshot table");
    TRY(file().read(at, rest));
    at += rest.size();
    RawSnapshotExtra extra;
    if (extra_size != 0) std::memcpy(&extra, rest.data(), std::min<size_t>(sizeof extra, extra_size));
    Snapshot one;
    one.l1_table_offset = raw.l1_table_offset;
    one.l1_size = raw.l1_size;
    if (!is_aligned(one.l1_table_offset, cluster_size_) || one.l1_size > kMaxL1Bytes / 8)
      return fail(ErrorKind::Invalid, "Snapshot L1 table offset invalid");
    one.info.vm_state_size = extra_size >= 8 ? extra.vm_state_size.get() : raw.vm_state_size.get();
    one.disk_size = extra_size >= 16 ? extra.disk_size.get() : header_.size;
    if (extra_size >= sizeof extra && extra.icount.get() != UINT64_MAX) one.info.icount = extra.icount.get();
    if (extra_size > sizeof extra)
      one.unknown_extra.assign(rest.begin() + sizeof extra, rest.begin() + extra_size);
    const auto names = std::span<const uint8_t>(rest).subspan(extra_size);
    one.info.id = text_of(names.first(raw.id_size));
    one.info.name = text_of(names.subspan(raw.id_size));
    one.info.date_s = raw.date_sec.get();
    one.info.date_ns = raw.date_nsec;
    one.info.vm_clock_ns = raw.vm_clock_nsec;
    snapshots_.push_back(std::move(one));
  }
  snapshot_table_bytes_ = header_.nb_snapshots == 0 ? 0 : at - header_.snapshots_offset;
  return {};
}

// Writes a new table and makes it the valid one; the old one's clusters are given up.
Result<> Qcow2Image::store_snapshots(const std::vector<Snapshot>& snapshots) {
  std::vector<uint8_t> bytes;
  for (const Snapshot& one : snapshots) {
    bytes.resize((bytes.size() + 7) & ~size_t{7});
    RawSnapshot raw;
    raw.l1_table_offset = one.l1_table_offset;
    raw.l1_size = one.l1_size;
    raw.id_size = static_cast<uint16_t>(one.info.id.size());
    raw.name_size = static_cast<uint16_t>(one.info.name.size());
    raw.date_sec = static_cast<uint32_t>(one.info.date_s);
    raw.date_nsec = one.info.date_ns;
    raw.vm_clock_nsec = one.info.vm_clock_ns;
    raw.vm_state_size =
        one.info.vm_state_size > UINT32_MAX ? 0 : static_cast<uint32_t>(one.info.vm_state_size);
    raw.extra_data_size = static_cast<uint32_t>(sizeof(RawSnapshotExtra) + one.unknown_extra.size());
    RawSnapshotExtra extra;
    extra.vm_state_size = one.info.vm_state_size;
    extra.disk_size = one.disk_size;
    extra.icount = one.info.icount.value_or(UINT64_MAX);
    const auto add = [&bytes](const void* from, size_t size) {
      const auto* data = static_cast<const uint8_t*>(from);
      bytes.insert(bytes.end(), data, data + size);
    };
    add(&raw, sizeof raw);
    add(&extra, sizeof extra);
    add(one.unknown_extra.data(), one.unknown_extra.size());
    add(one.info.id.data(), one.info.id.size());
    add(one.info.name.data(), one.info.name.size());
  }
  uint64_t offset = 0;
  const auto clusters_of = [this](uint64_t size) {
    return (size + cluster_size_ - 1) >> header_.cluster_bits;
  };
  if (!bytes.empty()) {
    offset = TRY(refcounts_.allocate(clusters_of(bytes.size())));
    TRY(file().write(offset, bytes));
    refcounts_.protect(offset, bytes.size());
  }
  TRY(flush_metadata());
  TRY(file().flush());
  const uint64_t old_offset = header_.snapshots_offset;
  const uint64_t old_size = snapshot_table_bytes_;
  header_.snapshots_offset = offset;
  header_.nb_snapshots = static_cast<uint32_t>(snapshots.size());
  TRY(write_header());
  snapshot_table_bytes_ = bytes.size();
  if (old_size != 0) {
    refcounts_.unprotect(old_offset, old_size);
    refcounts_.free(old_offset, clusters_of(old_size));
  }
  snapshots_ = snapshots;
  return {};
}

Result<size_t> Qcow2Image::find_snapshot(const std::string& id_or_name) const {
  for (size_t i = 0; i < snapshots_.size(); ++i) {
    if (snapshots_[i].info.id == id_or_name) return i;
  }
  for (size_t i = 0; i < snapshots_.size(); ++i) {
    if (snapshots_[i].info.name == id_or_name) return i;
  }
  return fail(ErrorKind::NotFound, "snapshot not found");
}

std::vector<SnapshotInfo> Qcow2Image::list_snapshots() const {
  const std::lock_guard lock(mutex_);
  std::vector<SnapshotInfo> out;
  for (const Snapshot& snapshot : snapshots_) out.push_back(snapshot.info);
  return out;
}

// All that an L1 table refers to gets another reference, or loses one (later, see Refcounts::free).
Result<> Qcow2Image::change_l1_refcounts(const std::vector<uint64_t>& l1, int64_t difference) {
  for (const uint64_t l1_entry : l1) {
    const uint64_t table_offset = l1_entry & kOffsetMask;
    if (table_offset == 0) continue;
    if (!is_aligned(table_offset, cluster_size_))
      return fail(ErrorKind::Invalid, "L2 table offset unaligned");
    for (uint64_t i = 0; i < l2_entries_; ++i) {
      const uint8_t* table = TRY(tables_.get(table_offset));
      const L2Entry entry = load_entry(table, i);
      if (difference < 0) {
        free_entry(entry);
        continue;
      }
      if ((entry.word & kCompressed) != 0) {
        const Packed place = packed_place(entry.word);
        const uint64_t first = place.offset >> header_.cluster_bits;
        const uint64_t last = (place.offset + place.sectors_bytes - 1) >> header_.cluster_bits;
        TRY(refcounts_.add(first, last - first + 1, difference));
      } else if ((entry.word & kOffsetMask) != 0 && !data_file_) {
        TRY(refcounts_.add((entry.word & kOffsetMask) >> header_.cluster_bits, 1, difference));
      }
    }
    if (difference < 0) {
      refcounts_.free(table_offset, 1);
    } else {
      TRY(refcounts_.add(table_offset >> header_.cluster_bits, 1, difference));
    }
  }
  return {};
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
  TRY(flush_metadata());
  if (!l1_.empty()) {
    const uint64_t clusters = (l1_.size() * 8 + cluster_size_ - 1) >> header_.cluster_bits;
    fresh.l1_table_offset = TRY(refcounts_.allocate(clusters));
    std::vector<uint8_t> raw(clusters << header_.cluster_bits);
    for (size_t i = 0; i < l1_.size(); ++i) store_be(&raw[i * 8], l1_[i] & kOffsetMask);
    TRY(file().write(fresh.l1_table_offset, raw));
    refcounts_.protect(fresh.l1_table_offset, raw.size());
  }
  // First the counts rise, on the disk too; then nothing shared may say that it is not; then the snapshot
  // exists.
  TRY(change_l1_refcounts(l1_, 1));
  TRY(refcounts_.write_back());
  TRY(refresh_copied());
  TRY(flush_metadata());
  std::vector<Snapshot> all = snapshots_;
  all.push_back(std::move(fresh));
  TRY(store_snapshots(all));
  return flush_metadata();
}

Result<> Qcow2Image::apply_snapshot(const std::string& id_or_name) {
  const std::lock_guard lock(mutex_);
  TRY(before_change());
  const Snapshot snapshot = snapshots_[TRY(find_snapshot(id_or_name))];
  if (header_.size != snapshot.disk_size) TRY(resize_bitmaps(snapshot.disk_size));
  TRY(record(0, snapshot.disk_size));
  TRY(flush_metadata());
  std::vector<uint64_t> wanted = TRY(read_l1(snapshot.l1_table_offset, snapshot.l1_size));
  for (uint64_t& entry : wanted) entry &= kOffsetMask;
  TRY(grow_l1(std::max<uint64_t>(wanted.size(), header_.l1_entries_for(snapshot.disk_size))));
  wanted.resize(l1_.size());
  TRY(change_l1_refcounts(wanted, 1));
  TRY(refcounts_.write_back());
  const std::vector<uint64_t> old = l1_;
  l1_ = wanted;
  TRY(write_l1(0, l1_.size()));
  if (header_.size != snapshot.disk_size) {
    header_.size = size_ = snapshot.disk_size;
    TRY(write_header());
  }
  TRY(file().flush());
  TRY(change_l1_refcounts(old, -1));
  TRY(flush_metadata());
  for (const uint64_t entry : old) {
    const uint64_t table = entry & kOffsetMask;
    if (table != 0) refcounts_.unprotect(table, 1);
  }
  for (const uint64_t entry : l1_) {
    if (entry != 0) refcounts_.protect(entry & kOffsetMask, 1);
  }
  TRY(refresh_copied());
  next_wanted_ = packed_next_ = 0;
  return flush_metadata();
}

Result<> Qcow2Image::delete_snapshot(const std::string& id_or_name) {
  const std::lock_guard lock(mutex_);
  TRY(before_change());
  const size_t index = TRY(find_snapshot(id_or_name));
  const Snapshot gone = snapshots_[index];
  std::vector<uint64_t> l1 = TRY(read_l1(gone.l1_table_offset, gone.l1_size));
  std::vector<Snapshot> rest = snapshots_;
  rest.erase(rest.begin() + static_cast<std::ptrdiff_t>(index));
  TRY(store_snapshots(rest));
  TRY(change_l1_refcounts(l1, -1));
  if (gone.l1_size != 0) {
    refcounts_.unprotect(gone.l1_table_offset, uint64_t{gone.l1_size} * 8);
    refcounts_.free(gone.l1_table_offset,
                    (uint64_t{gone.l1_size} * 8 + cluster_size_ - 1) >> header_.cluster_bits);
  }
  TRY(flush_metadata());
  TRY(refresh_copied());
  return flush_metadata();
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
