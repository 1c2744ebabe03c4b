#include "block/formats/qcow2/table_cache.h"

#include <algorithm>

#include "base/check.h"

namespace rhea::block::qcow2 {

TableCache::TableCache(BlockNode& file, uint64_t cluster_size, uint64_t max_bytes)
    : file_(file),
      cluster_size_(cluster_size),
      max_tables_(static_cast<size_t>(std::max<uint64_t>(4, max_bytes / cluster_size))) {}

Result<uint8_t*> TableCache::get(uint64_t offset) {
  if (offset == last_offset_) return last_->bytes.data();
  auto found = tables_.find(offset);
  if (found == tables_.end()) {
    TRY(make_place());
    Entry entry;
    entry.bytes.resize(cluster_size_);
    TRY(file_.read(offset, entry.bytes));
    found = tables_.emplace(offset, std::move(entry)).first;
  }
  found->second.last_use = ++now_;
  last_offset_ = offset;
  last_ = &found->second;
  return last_->bytes.data();
}

Result<uint8_t*> TableCache::create(uint64_t offset) {
  forget(offset);
  TRY(make_place());
  Entry& entry = tables_[offset];
  entry.bytes.assign(cluster_size_, 0);
  entry.dirty = true;
  entry.last_use = ++now_;
  ++dirty_count_;
  last_offset_ = offset;
  last_ = &entry;
  return entry.bytes.data();
}

void TableCache::mark_dirty(uint64_t offset) {
  const auto found = tables_.find(offset);
  CHECK(found != tables_.end());
  if (!found->second.dirty) ++dirty_count_;
  found->second.dirty = true;
}

void TableCache::forget(uint64_t offset) {
  const auto found = tables_.find(offset);
  if (found == tables_.end()) return;
  if (found->second.dirty) --dirty_count_;
  tables_.erase(found);
  last_offset_ = UINT64_MAX;
}

Result<> TableCache::make_place() {
  if (tables_.size() < max_tables_) return {};
  if (dirty_count_ * 2 > tables_.size() && make_room_) TRY(make_room_());
  // The half that was not used for longest.
  std::vector<std::pair<uint64_t, uint64_t>> clean;
  for (const auto& [offset, entry] : tables_) {
    if (!entry.dirty) clean.emplace_back(entry.last_use, offset);
  }
  std::ranges::sort(clean);
  clean.resize(std::max<size_t>(clean.size() / 2, std::min<size_t>(clean.size(), 1)));
  for (const auto& [use, offset] : clean) tables_.erase(offset);
  last_offset_ = UINT64_MAX;
  return {};
}

Result<> TableCache::write_all() {
  if (dirty_count_ == 0) return {};
  std::vector<std::pair<uint64_t, Entry*>> dirty;
  for (auto& [offset, entry] : tables_) {
    if (entry.dirty) dirty.emplace_back(offset, &entry);
  }
  std::ranges::sort(dirty, {}, [](const auto& pair) { return pair.first; });
  for (auto& [offset, entry] : dirty) {
    TRY(file_.write(offset, entry->bytes));
    entry->dirty = false;
    --dirty_count_;
  }
  return {};
}

}  // namespace rhea::block::qcow2
