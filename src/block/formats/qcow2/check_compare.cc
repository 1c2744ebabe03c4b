// The second half of a check: references against refcounts, and repairs.
#include <algorithm>

#include "base/checked.h"
#include "base/failf.h"
#include "block/formats/qcow2/check_run.h"

namespace rhea::block::qcow2 {

Result<> CheckRun::compare_window() {
  const Header& header = image_.header_;
  const uint64_t per_block = header.refcounts_per_block();
  const std::vector<uint64_t>& table = image_.refcounts_.table();
  std::vector<uint8_t> block(image_.cluster_size_);
  const uint64_t end = window_begin_ + counts_.size();
  uint64_t sound_end = 0;
  for (uint64_t cluster = window_begin_; cluster < end;) {
    const uint64_t index = cluster / per_block;
    const uint64_t stop = std::min(end, (index + 1) * per_block);
    const uint64_t offset = index < table.size() ? table[index] : 0;
    const bool readable = offset != 0 && is_aligned(offset, image_.cluster_size_) && !rebuild_;
    if (readable) {
      TRY(image_.refcounts_.write_back());
      TRY(image_.file().read(offset, block));
    }
    const bool plain = readable && header.refcount_order == 4;
    for (; cluster < stop; ++cluster) {
      if (plain && counts_[cluster - window_begin_] == 1 &&
          load_be<uint16_t>(&block[cluster % per_block * 2]) == 1) {
        sound_end = cluster + 1;
        continue;
      }
      const uint64_t count =
          readable ? load_refcount(block.data(), cluster % per_block, header.refcount_order) : 0;
      if (count != 0 || counts_[cluster - window_begin_] != 0) TRY(compare_cluster(cluster, count));
    }
  }
  if (sound_end != 0)
    report_.image_end_offset = std::max(report_.image_end_offset, sound_end << header.cluster_bits);
  if (window_begin_ + counts_.size() >= file_clusters_)
    report_.image_end_offset = std::max(report_.image_end_offset, (highest_ + 1) << header.cluster_bits);
  return {};
}

Result<> CheckRun::compare_cluster(uint64_t cluster, uint64_t count) {
  const uint64_t wanted = references(cluster);
  if (count != 0 || wanted != 0)
    report_.image_end_offset =
        std::max(report_.image_end_offset, (cluster + 1) << image_.header_.cluster_bits);
  if (count == wanted) return {};
  const bool leak = count > wanted;
  const uint64_t index = cluster / image_.header_.refcounts_per_block();
  const std::vector<uint64_t>& table = image_.refcounts_.table();
  const bool has_block = index < table.size() && table[index] != 0;
  bool fix = leak ? repair_ != Repair::None : repair_ == Repair::All;
  if (fix && !leak && !has_block) {
    rebuild_ = true;
    fix = false;
  }
  report_.messages.push_back(fmt::format("{} cluster {} refcount={} reference={}",
                                         fix ? "Repairing" : (leak ? "Leaked" : "ERROR"), cluster, count,
                                         wanted));
  if (fix) {
    TRY(image_.refcounts_.set(cluster, wanted));
    ++(leak ? report_.leaks_fixed : report_.corruptions_fixed);
  } else {
    ++(leak ? report_.leaks : report_.corruptions);
  }
  return {};
}

// Writes a new table and new blocks from the references alone, behind all that is in use; the old ones are
// free then.
Result<> CheckRun::rebuild() {
  const Header& header = image_.header_;
  report_.messages.emplace_back("Rebuilding refcount structure");
  // Without the old structure, whose references must not count.
  const uint64_t end = std::max(file_clusters_, highest_ + 1);
  window_begin_ = 0;
  counts_.assign(end, 0);
  large_.clear();
  const CheckReport before = report_;
  first_walk_ = false;
  TRY(image_.refcounts_.replace_table({}, 0, 0));
  const uint32_t old_table_clusters = header.refcount_table_clusters;
  image_.header_.refcount_table_clusters = 0;
  const auto walked = walk();
  image_.header_.refcount_table_clusters = old_table_clusters;
  if (!walked) return walked;
  const uint64_t per_block = header.refcounts_per_block();
  uint64_t blocks = 0;
  uint64_t table_clusters = 1;
  while (blocks * per_block < end + blocks + table_clusters) {
    ++blocks;
    table_clusters = (blocks * 8 + image_.cluster_size_ - 1) / image_.cluster_size_;
  }
  if (table_clusters * image_.cluster_size_ > std::max(kMaxRefcountTableBytes, image_.cluster_size_))
    return fail(ErrorKind::OutOfRange, "File too large");
  std::vector<uint64_t> table(table_clusters * image_.cluster_size_ / 8);
  std::vector<uint8_t> block(image_.cluster_size_);
  for (uint64_t i = 0; i < blocks; ++i) {
    std::ranges::fill(block, uint8_t{0});
    for (uint64_t n = 0; n < per_block; ++n) {
      const uint64_t cluster = i * per_block + n;
      uint64_t count = cluster < end ? references(cluster) : 0;
      if (cluster >= end && cluster < end + blocks + table_clusters) count = 1;
      store_refcount(block.data(), n, header.refcount_order,
                     std::min(count, image_.refcounts_.max_refcount()));
    }
    table[i] = (end + i) << header.cluster_bits;
    TRY(image_.file().write(table[i], block));
  }
  TRY(image_.refcounts_.replace_table(table, (end + blocks) << header.cluster_bits, table_clusters));
  const uint64_t found = before.corruptions + before.leaks;
  report_ = before;
  report_.corruptions_fixed += std::max<uint64_t>(before.corruptions, found == 0 ? 1 : 0);
  report_.leaks_fixed += before.leaks;
  report_.corruptions = report_.leaks = 0;
  report_.image_end_offset = (end + blocks + table_clusters) << header.cluster_bits;
  return {};
}

Result<> CheckRun::fix_copied() {
  return image_.refresh_copied();
}

}  // namespace rhea::block::qcow2
