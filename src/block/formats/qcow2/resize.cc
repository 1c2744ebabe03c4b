// Other sizes: larger L1 tables, preallocation, giving up what lies behind the new end.
#include <algorithm>

#include "base/checked.h"
#include "base/failf.h"
#include "block/formats/qcow2/image.h"

namespace rhea::block::qcow2 {

namespace {

constexpr uint64_t kLargeTable = 128 * 1024;

// Makes the host give the bytes their place: by asking, or by writing zeros.
Result<> allocate_space(BlockNode& file, uint64_t offset, uint64_t length, Preallocation mode) {
  if (mode == Preallocation::Falloc) return file.write_zeroes(offset, length, ZeroMode::KeepAllocated);
  return write_filled(file, offset, length, 0);
}

}  // namespace

Result<> Qcow2Image::grow_l1(uint64_t entries) {
  if (entries <= l1_.size()) return {};
  if (entries > kMaxL1Bytes / 8) return fail(ErrorKind::OutOfRange, "File too large");
  const uint64_t bytes = entries * 8;
  const uint64_t clusters = (bytes + cluster_size_ - 1) >> header_.cluster_bits;
  const uint64_t offset = TRY(refcounts_.allocate(clusters));
  const uint64_t old_offset = l1_offset_;
  const uint64_t old_bytes = l1_.size() * 8;
  l1_.resize(entries);
  l1_offset_ = offset;
  // A new image's large table is a hole at the end of its file.
  TRY(old_bytes == 0 && bytes > kLargeTable
          ? file().write_zeroes(offset, clusters << header_.cluster_bits, ZeroMode::MayUnmap)
          : write_l1(0, entries));
  TRY(refcounts_.write_back());
  TRY(file().flush());
  header_.l1_table_offset = offset;
  header_.l1_size = static_cast<uint32_t>(entries);
  TRY(write_header());
  refcounts_.protect(offset, bytes);
  if (old_bytes != 0) {
    refcounts_.unprotect(old_offset, old_bytes);
    refcounts_.free(old_offset, (old_bytes + cluster_size_ - 1) >> header_.cluster_bits);
  }
  return {};
}

// Gives up the L2 tables from L1 entry `first` on, which describe nothing any more.
Result<> Qcow2Image::drop_tables(uint64_t first) {
  std::vector<uint64_t> tables;
  for (uint64_t i = first; i < l1_.size(); ++i) {
    if (l1_[i] == 0) continue;
    tables.push_back(l1_[i] & kOffsetMask);
    l1_[i] = 0;
  }
  if (!tables.empty()) TRY(write_l1(first, l1_.size() - first));
  for (const uint64_t table : tables) {
    tables_.forget(table);
    refcounts_.unprotect(table, 1);
    refcounts_.free(table, 1);
  }
  return flush_metadata();
}

// Gives the space behind the last cluster in use back to the host.
Result<> Qcow2Image::cut_file() {
  TRY(flush_metadata());
  const uint64_t used = TRY(refcounts_.end_of_used()) << header_.cluster_bits;
  if (used < file().size()) TRY(file().resize(used, Preallocation::Off));
  next_wanted_ = packed_next_ = 0;
  return {};
}

Result<> Qcow2Image::shrink(uint64_t size) {
  const uint64_t end = *checked_align_up(size_, cluster_size_);
  const uint64_t begin = *checked_align_up(size, cluster_size_);
  TRY(drop_clusters(begin, end, Drop::Plain, false));
  TRY(flush_metadata());
  TRY(drop_tables(header_.l1_entries_for(size)));
  header_.size = size;
  size_ = size;
  TRY(write_header());
  TRY(flush_metadata());
  return cut_file();
}

Result<> Qcow2Image::resize(uint64_t size, Preallocation preallocation) {
  const uint64_t old_size = size_;
  {
    const std::lock_guard lock(mutex_);
    TRY(before_change());
    if (!snapshots_.empty() && header_.version < 3)
      return fail(ErrorKind::Unsupported, "Can't resize a v2 image which has snapshots");
    if (size < size_) {
      if (preallocation != Preallocation::Off)
        return fail(ErrorKind::Invalid, "Preallocation can't be used for shrinking an image");
      TRY(resize_bitmaps(size));
      return shrink(size);
    }
    TRY(resize_bitmaps(size));
    TRY(grow_l1(header_.l1_entries_for(size)));
    header_.size = size;
    size_ = size;
    TRY(write_header());
  }
  if (data_file_ && (header_.autoclear & kRawExternalData) != 0)
    TRY(data_file_->resize(size, Preallocation::Off));
  // What an earlier, larger size left in the last cluster is gone.
  const uint64_t cluster_end = std::min(size, align_down(old_size + cluster_size_ - 1, cluster_size_));
  if (cluster_end > old_size) TRY(write_zeroes(old_size, cluster_end - old_size, ZeroMode::MayUnmap));
  // A longer backing image must not show through behind the old end.
  if (backing() != nullptr && backing()->size() > old_size)
    TRY(write_zeroes(old_size, std::min(size, backing()->size()) - old_size, ZeroMode::MayUnmap));
  if (preallocation != Preallocation::Off) TRY(preallocate(old_size, size - old_size, preallocation));
  return {};
}

Result<> Qcow2Image::preallocate(uint64_t offset, uint64_t length, Preallocation mode) {
  if (length == 0) return {};
  const uint64_t begin = align_down(offset, cluster_size_);
  TRY(reserve(begin, offset + length - begin));
  const std::lock_guard lock(mutex_);
  TRY(flush_metadata());
  if (data_file_) return data_file_->resize(std::max(data_file_->size(), offset + length), mode);
  const uint64_t used = TRY(refcounts_.end_of_used()) << header_.cluster_bits;
  if (used > file().size()) TRY(file().resize(used, Preallocation::Off));
  if (mode == Preallocation::Metadata) return {};
  for (uint64_t at = begin; at < offset + length;) {
    const Mapping there = TRY(map(at, offset + length - at));
    const uint64_t bytes = (there.length + cluster_size_ - 1) & ~(cluster_size_ - 1);
    if (there.kind == Unit::Data) TRY(allocate_space(file(), there.host, bytes, mode));
    at += there.length;
  }
  return {};
}

}  // namespace rhea::block::qcow2
