// Zeroing and discarding.
#include <algorithm>

#include "base/checked.h"
#include "base/failf.h"
#include "block/formats/qcow2/image.h"

namespace rhea::block::qcow2 {

// Whole clusters of [offset, end) lose their data. ReadsZero: they read as zeros whatever backs the image;
// HidesAll: whatever will back it, too. keep: their place stays theirs. Caller holds the lock.
Result<> Qcow2Image::drop_clusters(uint64_t offset, uint64_t end, Drop drop, bool keep) {
  const bool flag = drop != Drop::Plain && header_.version >= 3;
  for (uint64_t at = offset; at < end; at += cluster_size_) {
    const uint64_t table = TRY(l2_table_offset(l1_index(at)));
    if (table == 0 && !(flag && (drop == Drop::HidesAll || backing() != nullptr))) {
      at = std::min(end, table_end(at)) - cluster_size_;
      continue;
    }
    const L2Entry old = TRY(entry_at(at));
    const bool has_place =
        (old.word & kCompressed) == 0 && ((old.word & kOffsetMask) != 0 || (old.word & kCopied) != 0);
    L2Entry entry;
    const bool keeps = keep && has_place;
    if (keeps) entry.word = old.word & (kOffsetMask | kCopied);
    if (flag) {
      if (header_.extended_l2()) {
        entry.bitmap = uint64_t{UINT32_MAX} << 32;
      } else {
        entry.word |= kZero;
      }
    }
    if (entry == old) continue;
    TRY(set_entry(at, entry));
    if (!keeps) free_entry(old, !keep);
  }
  return {};
}

Result<> Qcow2Image::write_zeroes(uint64_t offset, uint64_t length, ZeroMode mode) {
  TRY(check_range(offset, length, size_));
  if (length == 0) return {};
  TRY(record_changes(offset, length));
  const uint64_t end = offset + length;
  uint64_t begin_whole = align_down(offset + cluster_size_ - 1, cluster_size_);
  uint64_t end_whole =
      end == size_ ? align_down(end + cluster_size_ - 1, cluster_size_) : align_down(end, cluster_size_);
  // Version 2 cannot hide a backing image.
  if (header_.version < 3 && (backing() != nullptr || mode == ZeroMode::KeepAllocated))
    begin_whole = end_whole = end;
  if (begin_whole < end_whole) {
    std::unique_lock lock(mutex_);
    TRY(before_change());
    not_busy_.wait(lock, [&] { return !is_busy(begin_whole, end_whole); });
    TRY(drop_clusters(begin_whole, end_whole, Drop::ReadsZero, mode == ZeroMode::KeepAllocated));
  } else {
    begin_whole = end_whole = end;
  }
  for (auto [at, stop] : {std::pair(offset, begin_whole), std::pair(std::max(offset, end_whole), end)}) {
    while (at < stop) {
      // What reads as zeros already needs no cluster.
      const Extent there = TRY(extent(at, stop - at));
      const bool is_zero_already = there.zero || (!there.allocated && backing() == nullptr);
      if (!is_zero_already) TRY(write_filled(*this, at, there.length, 0));
      at += there.length;
    }
  }
  return {};
}

Result<> Qcow2Image::discard(uint64_t offset, uint64_t length) {
  TRY(check_range(offset, length, size_));
  const uint64_t end = offset + length;
  const uint64_t begin_whole = align_down(offset + cluster_size_ - 1, cluster_size_);
  const uint64_t end_whole =
      end == size_ ? align_down(end + cluster_size_ - 1, cluster_size_) : align_down(end, cluster_size_);
  if (begin_whole >= end_whole || (header_.version < 3 && backing() != nullptr)) return {};
  std::unique_lock lock(mutex_);
  TRY(before_change());
  TRY(record(begin_whole, std::min(end_whole, size_) - begin_whole));
  not_busy_.wait(lock, [&] { return !is_busy(begin_whole, end_whole); });
  // Without a backing image nothing reads as zeros too.
  const bool flag = backing() != nullptr || data_file_ != nullptr;
  return drop_clusters(begin_whole, end_whole, flag ? Drop::ReadsZero : Drop::Plain, false);
}

Result<> Qcow2Image::mark_zero(uint64_t offset, uint64_t length) {
  TRY(check_range(offset, length, size_));
  TRY(record_changes(offset, length));
  const uint64_t end = align_down(offset + length + cluster_size_ - 1, cluster_size_);
  std::unique_lock lock(mutex_);
  TRY(before_change());
  not_busy_.wait(lock, [&] { return !is_busy(offset, end); });
  return drop_clusters(offset, end, Drop::HidesAll, false);
}

// All clusters go, and the image shows its backing image everywhere.
Result<> Qcow2Image::make_empty() {
  const std::lock_guard lock(mutex_);
  TRY(before_change());
  TRY(drop_clusters(0, *checked_align_up(size_, cluster_size_), Drop::Plain, false));
  TRY(flush_metadata());
  TRY(drop_tables(0));
  return cut_file();
}

}  // namespace rhea::block::qcow2
