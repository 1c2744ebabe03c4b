#include <algorithm>

#include "base/checked.h"
#include "base/failf.h"
#include "block/formats/qcow2/check_run.h"

namespace rhea::block::qcow2 {
namespace {

constexpr uint64_t kWindow = uint64_t{16} << 20;  // clusters counted at a time, two bytes each
constexpr size_t kMaxMessages = 10000;

}  // namespace

void CheckRun::corruption(std::string text) {
  if (!first_walk_) return;
  ++report_.corruptions;
  if (report_.messages.size() < kMaxMessages) report_.messages.push_back(std::move(text));
}

void CheckRun::refer(uint64_t offset, uint64_t bytes) {
  if (bytes == 0) return;
  const unsigned bits = image_.header_.cluster_bits;
  // The file may end inside of its last cluster, no further.
  if (offset > INT64_MAX || bytes > INT64_MAX - offset ||
      offset + bytes >= image_.cluster_size_ + file_size_) {
    corruption(fmt::format(
        "ERROR: counting reference for region exceeding the end of the file by one cluster or more: "
        "offset {:#x} size {:#x}",
        offset, bytes));
    return;
  }
  const uint64_t last = (offset + bytes - 1) >> bits;
  highest_ = std::max(highest_, last);
  for (uint64_t cluster = std::max(offset >> bits, window_begin_); cluster <= last; ++cluster) {
    const uint64_t place = cluster - window_begin_;
    if (place >= counts_.size()) return;
    if (counts_[place] == UINT16_MAX) {
      ++large_[cluster];
    } else {
      ++counts_[place];
    }
  }
}

uint64_t CheckRun::references(uint64_t cluster) const {
  const uint16_t count = counts_[cluster - window_begin_];
  if (count != UINT16_MAX) return count;
  const auto more = large_.find(cluster);
  return uint64_t{count} + (more == large_.end() ? 0 : more->second);
}

Result<CheckReport> CheckRun::run() {
  const uint64_t cluster_size = image_.cluster_size_;
  file_size_ = image_.file().size();
  file_clusters_ = file_size_ / cluster_size + (file_size_ % cluster_size != 0 ? 1 : 0);
  report_.total_clusters =
      image_.header_.size / cluster_size + (image_.header_.size % cluster_size != 0 ? 1 : 0);
  if (image_.refcounts_.table().empty()) TRY(image_.refcounts_.load());
  // Repairs need all counts at once.
  const uint64_t window = repair_ == Repair::None ? kWindow : file_clusters_;
  uint64_t end = std::max<uint64_t>(file_clusters_, 1);
  for (window_begin_ = 0; window_begin_ < end; window_begin_ += window) {
    counts_.assign(std::min(std::max<uint64_t>(window, 1), end - window_begin_), 0);
    large_.clear();
    TRY(walk());
    if (rebuild_ && repairs_errors()) {
      TRY(rebuild());
    } else {
      TRY(compare_window());
      if (rebuild_ && repairs_errors()) TRY(rebuild());
    }
    first_walk_ = false;
  }
  for (const std::string& text : copied_messages_) {
    if (report_.messages.size() < kMaxMessages) report_.messages.push_back("ERROR " + text);
  }
  report_.corruptions += copied_errors_;
  if (repair_ != Repair::None) {
    TRY(image_.refcounts_.write_back());
    if (repairs_errors()) TRY(fix_copied());
    TRY(image_.flush_metadata());
    TRY(image_.file().flush());
  }
  return report_;
}

Result<> CheckRun::walk() {
  const Header& header = image_.header_;
  refer(0, header.cluster_size());
  next_data_ = 0;
  TRY(walk_l1(image_.l1_, image_.l1_offset_, true));
  refer(header.snapshots_offset, image_.snapshot_table_bytes_);
  for (const Snapshot& snapshot : image_.snapshots_) {
    const uint64_t bytes = uint64_t{snapshot.l1_size} * 8;
    if (!range_within(snapshot.l1_table_offset, bytes, image_.file().size() + image_.cluster_size_)) {
      corruption("ERROR snapshot " + snapshot.info.id + " (" + snapshot.info.name +
                 ") l1_offset is not valid");
      continue;
    }
    const std::vector<uint64_t> l1 = TRY(image_.read_l1(snapshot.l1_table_offset, snapshot.l1_size));
    TRY(walk_l1(l1, snapshot.l1_table_offset, false));
  }
  if (const Extension* crypto = header.extension(kExtensionCrypto);
      crypto != nullptr && crypto->data.size() >= 16)
    refer(load_be<uint64_t>(crypto->data.data()), load_be<uint64_t>(crypto->data.data() + 8));
  TRY(walk_bitmaps());
  return walk_refcount_table();
}

Result<> CheckRun::walk_l1(const std::vector<uint64_t>& l1, uint64_t l1_offset, bool active) {
  refer(l1_offset, l1.size() * 8);
  std::vector<uint8_t> buffer(image_.cluster_size_);
  const uint64_t file_size = image_.file().size();
  for (size_t i = 0; i < l1.size(); ++i) {
    const uint64_t table = l1[i] & kOffsetMask;
    if (table == 0) continue;
    refer(table, image_.cluster_size_);
    if (!is_aligned(table, image_.cluster_size_)) {
      corruption(
          fmt::format("ERROR l2_offset={:x}: Table is not cluster aligned; L1 entry corrupted", table));
      continue;
    }
    if (!range_within(table, 1, file_size)) {
      corruption(
          fmt::format("ERROR: L2 table at {:#x} (L1 index {}) is behind the end of the file", table, i));
      continue;
    }
    TRY(walk_l2(table, active, buffer));
  }
  return {};
}

// What nearly all entries of an active table are: a whole cluster that only this entry refers to, with a
// count that says so. False: not seen to be one, and nothing was done.
inline bool CheckRun::count_plain(uint64_t word) {
  const uint64_t host = word & kOffsetMask;
  const uint64_t cluster = host >> image_.header_.cluster_bits;
  const uint64_t place = cluster - window_begin_;
  if ((word & ~kOffsetMask) != kCopied || host == 0 || (host & (image_.cluster_size_ - 1)) != 0) return false;
  if (cluster < window_begin_ || place >= counts_.size() || counts_[place] == UINT16_MAX) return false;
  if (!image_.refcounts_.is_one_at_hand(cluster)) return false;
  ++counts_[place];
  highest_ = std::max(highest_, cluster);
  ++report_.allocated_clusters;
  if (next_data_ != 0 && host != next_data_) ++report_.fragmented_clusters;
  next_data_ = host + image_.cluster_size_;
  return true;
}

Result<> CheckRun::walk_l2(uint64_t table_offset, bool active, std::vector<uint8_t>& buffer) {
  TRY(image_.file().read(table_offset, buffer));
  bool changed = false;
  const bool plain =
      active && first_walk_ && repair_ == Repair::None && !image_.data_file_ && !image_.header_.extended_l2();
  for (uint64_t i = 0; i < image_.l2_entries_; ++i) {
    if (plain && count_plain(load_be<uint64_t>(&buffer[i * 8]))) continue;
    const L2Entry entry = image_.load_entry(buffer.data(), i);
    if (entry.word != 0 || entry.bitmap != 0) TRY(walk_entry(entry, active, i, buffer, changed));
  }
  if (!changed) return {};
  image_.tables_.forget(table_offset);
  return image_.file().write(table_offset, buffer);
}

Result<> CheckRun::walk_entry(const L2Entry& entry, bool active, uint64_t index, std::vector<uint8_t>& table,
                              bool& table_changed) {
  if ((entry.word & kCompressed) != 0) {
    if ((entry.word & kCopied) != 0)
      corruption(fmt::format("ERROR: coffset={:#x}: copied flag must never be set for compressed clusters",
                             entry.word & ~(kCopied | kCompressed)));
    const Qcow2Image::Packed place = image_.packed_place(entry.word);
    refer(place.offset, place.sectors_bytes);
    if (!active || !first_walk_) return {};
    ++report_.allocated_clusters;
    ++report_.compressed_clusters;
    ++report_.fragmented_clusters;  // compressed clusters are never in a row
    return {};
  }
  const uint64_t host = entry.word & kOffsetMask;
  if (host == 0 && !(image_.data_file_ && (entry.word & kCopied) != 0)) return {};
  if (!is_aligned(host, image_.cluster_size_)) {
    const bool is_zero = image_.unit_kind(entry, 0) == Unit::Zero;
    corruption(fmt::format("{} offset={:x}: {} is not properly aligned; L2 entry corrupted.",
                           is_zero && repairs_errors() ? "Repairing" : "ERROR", host,
                           is_zero ? "Preallocated cluster" : "Cluster"));
    if (is_zero && repairs_errors()) {
      image_.store_entry(table.data(), index, {.word = kZero, .bitmap = entry.bitmap});
      table_changed = true;
      ++report_.corruptions_fixed;
      --report_.corruptions;
    }
    return {};
  }
  if (!image_.data_file_) refer(host, image_.cluster_size_);
  if (active && first_walk_ && repair_ == Repair::None) TRY(check_copied(entry));
  if (!active || !first_walk_) return {};
  ++report_.allocated_clusters;
  if (next_data_ != 0 && host != next_data_) ++report_.fragmented_clusters;
  next_data_ = host + image_.cluster_size_;
  return {};
}

// "The count is 1" in active tables must be true, or shared clusters would be written in place.
Result<> CheckRun::check_copied(const L2Entry& entry) {
  if (image_.data_file_) return {};
  const uint64_t host = entry.word & kOffsetMask;
  const auto count = image_.refcounts_.get(host >> image_.header_.cluster_bits);
  if (!count || (*count == 1) == ((entry.word & kCopied) != 0)) return {};
  ++copied_errors_;
  if (copied_messages_.size() >= kMaxMessages) return {};
  copied_messages_.push_back(
      fmt::format("OFLAG_COPIED data cluster: l2_entry={:x} refcount={}", entry.word, *count));
  return {};
}

Result<> CheckRun::walk_refcount_table() {
  const Header& header = image_.header_;
  refer(header.refcount_table_offset, uint64_t{header.refcount_table_clusters} << header.cluster_bits);
  const std::vector<uint64_t>& table = image_.refcounts_.table();
  for (size_t i = 0; i < table.size(); ++i) {
    const uint64_t offset = table[i];
    if (offset == 0) continue;
    const uint64_t cluster = offset >> header.cluster_bits;
    if (!is_aligned(offset, image_.cluster_size_)) {
      corruption(
          fmt::format("ERROR refcount block {} is not cluster aligned; refcount table entry corrupted", i));
      rebuild_ = true;
      continue;
    }
    if (cluster >= file_clusters_) {
      corruption(fmt::format("ERROR refcount block {} is outside image", i));
      rebuild_ = true;
      continue;
    }
    refer(offset, image_.cluster_size_);
    if (cluster >= window_begin_ && cluster - window_begin_ < counts_.size() && references(cluster) != 1) {
      corruption(fmt::format("ERROR refcount block {} refcount={}", i, references(cluster)));
      rebuild_ = true;
    }
  }
  return {};
}

// The directory, the tables and the bits themselves.
Result<> CheckRun::walk_bitmaps() {
  const Extension* extension = image_.header_.extension(kExtensionBitmaps);
  if (extension == nullptr || extension->data.size() < sizeof(RawBitmapsExtension)) return {};
  const uint8_t* raw = extension->data.data();
  const uint64_t size = load_be<uint64_t>(raw + 8);
  const uint64_t offset = load_be<uint64_t>(raw + 16);
  if (size > uint64_t{kMaxBitmaps} * 1024 || !range_within(offset, size, image_.file().size())) {
    corruption("ERROR: the bitmap directory is outside of the image");
    return {};
  }
  refer(offset, size);
  std::vector<uint8_t> directory(size);
  TRY(image_.file().read(offset, directory));
  for (uint64_t at = 0; at + 24 <= size;) {
    const uint64_t table_offset = load_be<uint64_t>(&directory[at]);
    const uint64_t entries = load_be<uint32_t>(&directory[at + 8]);
    const uint64_t names =
        uint64_t{load_be<uint16_t>(&directory[at + 18])} + load_be<uint32_t>(&directory[at + 20]);
    at = (at + 24 + names + 7) & ~uint64_t{7};
    if (entries > kMaxL1Bytes / 8 || !range_within(table_offset, entries * 8, image_.file().size())) {
      corruption("ERROR: a bitmap table is outside of the image");
      continue;
    }
    refer(table_offset, entries * 8);
    std::vector<uint8_t> table(entries * 8);
    TRY(image_.file().read(table_offset, table));
    for (uint64_t i = 0; i < entries; ++i) {
      const uint64_t cluster = load_be<uint64_t>(&table[i * 8]) & kOffsetMask;
      if (cluster != 0) refer(cluster, image_.cluster_size_);
    }
  }
  return {};
}

Result<CheckReport> Qcow2Image::check(Repair repair) {
  const std::lock_guard lock(mutex_);
  if (repair != Repair::None) {
    changed_ = true;
  } else {
    TRY(flush_metadata());
  }
  CheckRun run(*this, repair);
  CheckReport report = TRY(run.run());
  if (repair != Repair::None && report.corruptions == 0 && report.check_errors == 0 &&
      (header_.incompatible & (kDirty | kCorrupt)) != 0 && repair == Repair::All) {
    header_.incompatible &= ~(kDirty | kCorrupt);
    TRY(write_header());
  }
  return report;
}

}  // namespace rhea::block::qcow2
