#include "block/formats/qcow2/refcount.h"

#include <algorithm>

#include "base/checked.h"
#include "base/failf.h"

namespace rhea::block::qcow2 {
namespace {

constexpr uint64_t kCacheBytes = uint64_t{4} << 20;

}  // namespace

uint64_t load_refcount(const uint8_t* block, uint64_t index, unsigned order) {
  switch (order) {
    case 3: return block[index];
    case 4: return load_be<uint16_t>(block + index * 2);
    case 5: return load_be<uint32_t>(block + index * 4);
    case 6: return load_be<uint64_t>(block + index * 8);
    default: {
      const unsigned bits = 1u << order;
      const uint64_t at = index * bits;
      return block[at / 8] >> (at % 8) & ((1u << bits) - 1);
    }
  }
}

void store_refcount(uint8_t* block, uint64_t index, unsigned order, uint64_t value) {
  switch (order) {
    case 3: block[index] = static_cast<uint8_t>(value); break;
    case 4: store_be(block + index * 2, static_cast<uint16_t>(value)); break;
    case 5: store_be(block + index * 4, static_cast<uint32_t>(value)); break;
    case 6: store_be(block + index * 8, value); break;
    default: {
      const unsigned bits = 1u << order;
      const uint64_t at = index * bits;
      const unsigned mask = ((1u << bits) - 1) << (at % 8);
      block[at / 8] = static_cast<uint8_t>((block[at / 8] & ~mask) | (value << (at % 8) & mask));
    }
  }
}

Refcounts::Refcounts(BlockNode& file, Header& header, std::function<Result<>()> write_header)
    : file_(file),
      header_(header),
      write_header_(std::move(write_header)),
      cache_(file, header.cluster_size(), kCacheBytes) {
  cache_.set_make_room([this] { return cache_.write_all(); });
}

Result<> Refcounts::load() {
  const uint64_t bytes = uint64_t{header_.refcount_table_clusters} << header_.cluster_bits;
  std::vector<uint8_t> raw(bytes);
  TRY_IN(file_.read(header_.refcount_table_offset, raw), "Could not read refcount table");
  table_.resize(bytes / 8);
  for (size_t i = 0; i < table_.size(); ++i) table_[i] = load_be<uint64_t>(&raw[i * 8]) & kRefcountBlockMask;
  protect(header_.refcount_table_offset, bytes);
  for (const uint64_t block : table_) {
    if (block != 0) protect(block, 1);
  }
  return {};
}

uint64_t Refcounts::max_refcount() const {
  return header_.refcount_bits() == 64 ? UINT64_MAX : (uint64_t{1} << header_.refcount_bits()) - 1;
}

void Refcounts::protect(uint64_t offset, uint64_t bytes) {
  if (bytes == 0) return;
  const uint64_t last = (offset + bytes - 1) >> header_.cluster_bits;
  for (uint64_t cluster = offset >> header_.cluster_bits; cluster <= last; ++cluster)
    protected_.insert(cluster);
}

void Refcounts::unprotect(uint64_t offset, uint64_t bytes) {
  if (bytes == 0) return;
  const uint64_t last = (offset + bytes - 1) >> header_.cluster_bits;
  for (uint64_t cluster = offset >> header_.cluster_bits; cluster <= last; ++cluster)
    protected_.erase(cluster);
}

// The block that counts `cluster`, null if there is none and none shall be made.
Result<uint8_t*> Refcounts::block_for(uint64_t cluster, bool create, uint64_t& offset) {
  const uint64_t index = cluster / header_.refcounts_per_block();
  if (index >= table_.size() || table_[index] == 0) {
    if (!create) return nullptr;
    TRY(create_block(index));
  }
  offset = table_[index];
  if (!is_aligned(offset, header_.cluster_size()))
    return failf(ErrorKind::Invalid, "Refblock offset {:#x} unaligned (reftable index: {:#x})", offset,
                 index);
  return cache_.get(offset);
}

// A new block lies in the range that it counts, which has no other cluster in use: nothing could have counted
// it.
Result<> Refcounts::create_block(uint64_t index) {
  if (index >= table_.size()) {
    TRY(grow_table(index));
    if (table_[index] != 0) return {};
  }
  uint64_t cluster = index * header_.refcounts_per_block();
  while (protected_.contains(cluster)) ++cluster;
  const uint64_t offset = cluster << header_.cluster_bits;
  uint8_t* block = TRY(cache_.create(offset));
  store_refcount(block, cluster % header_.refcounts_per_block(), header_.refcount_order, 1);
  TRY(cache_.write_all());
  table_[index] = offset;
  protect(offset, 1);
  if (shadow_) {
    shadow_->moved.insert(index);
    return {};
  }
  uint8_t entry[8];
  store_be(entry, offset);
  return file_.write(header_.refcount_table_offset + index * 8, entry);
}

// Moves the table to the start of the first range that it cannot count, together with the blocks for that
// range.
Result<> Refcounts::grow_table(uint64_t index) {
  const uint64_t per_block = header_.refcounts_per_block();
  const uint64_t cluster_size = header_.cluster_size();
  if (shadow_) return grow_shadow_table(index);
  const uint64_t first = index * per_block;
  uint64_t blocks = 0;
  uint64_t table_clusters = 0;
  // The new table lists the blocks that count it.
  do {
    ++blocks;
    const uint64_t entries = std::max(index + blocks + 1, uint64_t{table_.size()} * 3 / 2);
    table_clusters = (entries * 8 + cluster_size - 1) / cluster_size;
    if (table_clusters * cluster_size > std::max(kMaxRefcountTableBytes, cluster_size))
      return fail(ErrorKind::OutOfRange, "File too large");
  } while (blocks * per_block < blocks + table_clusters);
  std::vector<uint64_t> table(table_);
  table.resize(table_clusters * cluster_size / 8);
  if (index + blocks > table.size()) return fail(ErrorKind::OutOfRange, "File too large");
  for (uint64_t i = 0; i < blocks; ++i) {
    const uint64_t offset = (first + i) << header_.cluster_bits;
    table[index + i] = offset;
    uint8_t* block = TRY(cache_.create(offset));
    const uint64_t used =
        std::min(per_block, blocks + table_clusters - std::min(blocks + table_clusters, i * per_block));
    for (uint64_t n = 0; n < used; ++n) store_refcount(block, n, header_.refcount_order, 1);
    protect(offset, 1);
  }
  TRY(cache_.write_all());
  std::vector<uint8_t> raw(table.size() * 8);
  for (size_t i = 0; i < table.size(); ++i) store_be(&raw[i * 8], table[i]);
  const uint64_t table_offset = (first + blocks) << header_.cluster_bits;
  TRY(file_.write(table_offset, raw));
  TRY(file_.flush());
  const uint64_t old_offset = header_.refcount_table_offset;
  const uint64_t old_clusters = header_.refcount_table_clusters;
  header_.refcount_table_offset = table_offset;
  header_.refcount_table_clusters = static_cast<uint32_t>(table_clusters);
  TRY(write_header_());
  table_ = std::move(table);
  protect(table_offset, raw.size());
  unprotect(old_offset, old_clusters << header_.cluster_bits);
  free(old_offset, old_clusters);
  return {};
}

Result<uint64_t> Refcounts::get(uint64_t cluster) {
  uint64_t offset = 0;
  const uint8_t* block = TRY(block_for(cluster, false, offset));
  return block == nullptr
             ? 0
             : load_refcount(block, cluster % header_.refcounts_per_block(), header_.refcount_order);
}

Result<> Refcounts::set(uint64_t cluster, uint64_t value) {
  uint64_t offset = 0;
  TRY(move_block(cluster / header_.refcounts_per_block()));
  uint8_t* block = TRY(block_for(cluster, value != 0, offset));
  if (block == nullptr) return {};
  store_refcount(block, cluster % header_.refcounts_per_block(), header_.refcount_order, value);
  cache_.mark_dirty(offset);
  if (value == 0) hint_ = std::min(hint_, cluster);
  return {};
}

Result<> Refcounts::add(uint64_t first_cluster, uint64_t count, int64_t difference) {
  const auto change = static_cast<uint64_t>(difference < 0 ? -difference : difference);
  const uint64_t per_block = header_.refcounts_per_block();
  const uint64_t end = first_cluster + count;
  for (uint64_t cluster = first_cluster; cluster < end;) {
    const uint64_t stop = std::min(end, (cluster / per_block + 1) * per_block);
    uint64_t offset = 0;
    TRY(move_block(cluster / per_block));
    uint8_t* block = TRY(block_for(cluster, difference > 0, offset));
    if (block != nullptr) cache_.mark_dirty(offset);
    for (; cluster < stop; ++cluster) {
      const uint64_t index = cluster % per_block;
      const uint64_t old = block == nullptr ? 0 : load_refcount(block, index, header_.refcount_order);
      if (difference < 0 ? old < change : max_refcount() - old < change)
        return failf(ErrorKind::Invalid, "Refcount of cluster {} cannot change from {} by {}", cluster, old,
                     difference);
      const uint64_t now = difference < 0 ? old - change : old + change;
      store_refcount(block, index, header_.refcount_order, now);
      if (now == 0) hint_ = std::min(hint_, cluster);
    }
  }
  return {};
}

Result<bool> Refcounts::is_free(uint64_t cluster) {
  if (cluster == 0 || protected_.contains(cluster)) return false;
  return TRY(get(cluster)) == 0;
}

// A run longer than a block counts cannot have the blocks of its ranges inside: it goes behind all that is
// counted, and its blocks behind it.
Result<uint64_t> Refcounts::allocate_large(uint64_t count) {
  const uint64_t per_block = header_.refcounts_per_block();
  const uint64_t blocks = (count + per_block - 2) / (per_block - 1);
  uint64_t index = table_.size();
  while (index > 0 && table_[index - 1] == 0) --index;
  if (index + blocks > table_.size()) {
    TRY(grow_table(index + blocks));
    return allocate_large(count);
  }
  const uint64_t first = index * per_block;
  for (const uint64_t cluster : protected_) {
    if (cluster >= first)
      return fail(ErrorKind::Invalid, "metadata lies behind all clusters that are counted");
  }
  std::vector<uint8_t> entries(blocks * 8);
  for (uint64_t i = 0; i < blocks; ++i) {
    const uint64_t offset = (first + count + i) << header_.cluster_bits;
    uint8_t* block = TRY(cache_.create(offset));
    const uint64_t used = std::min(per_block, count + blocks - i * per_block);
    for (uint64_t n = 0; n < used; ++n) store_refcount(block, n, header_.refcount_order, 1);
    store_be(&entries[i * 8], offset);
  }
  TRY(cache_.write_all());
  if (!shadow_) TRY(file_.write(header_.refcount_table_offset + index * 8, entries));
  for (uint64_t i = 0; i < blocks; ++i) {
    if (shadow_) shadow_->moved.insert(index + i);
    table_[index + i] = (first + count + i) << header_.cluster_bits;
    protect(table_[index + i], 1);
  }
  return first << header_.cluster_bits;
}

Result<uint64_t> Refcounts::allocate(uint64_t count) {
  if (count >= header_.refcounts_per_block() / 2) return allocate_large(count);
  uint64_t first = hint_;
  uint64_t length = 0;
  while (length < count) {
    if (first + length > kMaxCluster) return fail(ErrorKind::OutOfRange, "File too large");
    if (TRY(is_free(first + length))) {
      ++length;
    } else {
      first += length + 1;
      length = 0;
    }
    if (length < count) continue;
    // Making a missing block, or moving one, may take a cluster of the run itself.
    for (uint64_t i = 0; i < count; ++i) {
      uint64_t offset = 0;
      TRY(move_block((first + i) / header_.refcounts_per_block()));
      TRY(block_for(first + i, true, offset));
    }
    for (uint64_t i = 0; i < count && length == count; ++i) {
      if (!TRY(is_free(first + i))) length = 0;
    }
  }
  for (uint64_t i = 0; i < count; ++i) TRY(set(first + i, 1));
  if (first == hint_) hint_ = first + count;
  return first << header_.cluster_bits;
}

Result<Refcounts::Run> Refcounts::allocate_up_to(uint64_t count, uint64_t wanted) {
  uint64_t first = std::max(hint_, wanted >> header_.cluster_bits);
  if (wanted == 0 || !TRY(is_free(first))) {
    first = hint_;
    while (!TRY(is_free(first))) {
      if (++first > kMaxCluster) return fail(ErrorKind::OutOfRange, "File too large");
    }
    hint_ = first;
  }
  const uint64_t per_block = header_.refcounts_per_block();
  uint64_t length = 0;
  while (length < count) {
    const uint64_t begin = first + length;
    const uint64_t stop = std::min(first + count, (begin / per_block + 1) * per_block);
    uint64_t offset = 0;
    TRY(move_block(begin / per_block));
    uint8_t* block = TRY(block_for(begin, true, offset));
    uint64_t at = begin;
    while (at < stop && at != 0 && !protected_.contains(at) &&
           load_refcount(block, at % per_block, header_.refcount_order) == 0)
      store_refcount(block, at++ % per_block, header_.refcount_order, 1);
    if (at != begin) cache_.mark_dirty(offset);
    length += at - begin;
    if (at == stop) continue;
    if (length != 0) break;
    ++first;  // the new block took it
  }
  if (first == hint_) hint_ = first + length;
  return Run{.offset = first << header_.cluster_bits, .count = length};
}

void Refcounts::free(uint64_t offset, uint64_t count, bool unmap) {
  if (!pending_.empty() && pending_.back().unmap == unmap &&
      pending_.back().offset + (pending_.back().count << header_.cluster_bits) == offset) {
    pending_.back().count += count;
    return;
  }
  pending_.push_back({.offset = offset, .count = count, .unmap = unmap});
}

Result<> Refcounts::apply_frees() {
  std::vector<Freed> runs;
  runs.swap(pending_);
  for (const Freed& run : runs) {
    TRY(add(run.offset >> header_.cluster_bits, run.count, -1));
    if (run.unmap) TRY(unmap(run));
  }
  return {};
}

Result<> Refcounts::unmap(const Freed& run) {
  const uint64_t first = run.offset >> header_.cluster_bits;
  for (uint64_t i = 0; i < run.count;) {
    uint64_t unused = 0;
    while (i + unused < run.count && TRY(get(first + i + unused)) == 0) ++unused;
    if (unused != 0) TRY(file_.discard((first + i) << header_.cluster_bits, unused << header_.cluster_bits));
    i += unused + 1;
  }
  return {};
}

Result<> Refcounts::replace_table(const std::vector<uint64_t>& table, uint64_t offset, uint64_t clusters) {
  cache_.forget_all();
  pending_.clear();
  for (const uint64_t block : table_) {
    if (block != 0) unprotect(block, 1);
  }
  table_ = table;
  hint_ = 0;
  if (table.empty()) return {};
  std::vector<uint8_t> raw(table.size() * 8);
  for (size_t i = 0; i < table.size(); ++i) store_be(&raw[i * 8], table[i]);
  TRY(file_.write(offset, raw));
  TRY(file_.flush());
  unprotect(header_.refcount_table_offset, uint64_t{header_.refcount_table_clusters} << header_.cluster_bits);
  header_.refcount_table_offset = offset;
  header_.refcount_table_clusters = static_cast<uint32_t>(clusters);
  TRY(write_header_());
  protect(offset, raw.size());
  for (const uint64_t block : table_) {
    if (block != 0) protect(block, 1);
  }
  return {};
}

Result<bool> Refcounts::has_used(uint64_t clusters) {
  if (table_.empty()) TRY(load());  // who only reads needs it for this alone
  const uint64_t per_block = header_.refcounts_per_block();
  for (uint64_t index = 0; index < table_.size(); ++index) {
    if (table_[index] == 0) continue;
    for (uint64_t n = 0; n < per_block; ++n) {
      if (TRY(get(index * per_block + n)) != 0 && --clusters == 0) return true;
    }
  }
  return false;
}

Result<uint64_t> Refcounts::end_of_used() {
  const uint64_t per_block = header_.refcounts_per_block();
  for (uint64_t index = table_.size(); index-- > 0;) {
    if (table_[index] == 0) continue;
    for (uint64_t n = per_block; n-- > 0;) {
      if (TRY(get(index * per_block + n)) != 0) return index * per_block + n + 1;
    }
  }
  return 0;
}

}  // namespace rhea::block::qcow2
