#include "block/formats/metadata_cache.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "base/checked.h"

namespace rhea::block {

Result<MetadataCache::Page*> MetadataCache::page_at(uint64_t offset) {
  const uint64_t start = align_down(offset, kPageSize);
  if (last_ != nullptr && last_offset_ == start) return last_;
  auto found = pages_.find(start);
  if (found == pages_.end()) {
    if (pages_.size() >= kMaxPages) {
      TRY(write_back());
      pages_.clear();
      last_ = nullptr;
    }
    auto page = std::make_unique<Page>();
    TRY(file_.read(start, page->bytes));
    found = pages_.emplace(start, std::move(page)).first;
  }
  last_ = found->second.get();
  last_offset_ = start;
  return last_;
}

void MetadataCache::mark(Page& page, size_t at, size_t length) {
  for (size_t sector = at / kSector; sector <= (at + length - 1) / kSector; ++sector) {
    page.dirty |= uint32_t{1} << sector;
  }
  any_dirty_ = true;
}

Result<> MetadataCache::fill(uint64_t offset, uint64_t length, uint8_t value) {
  while (length != 0) {
    Page* page = TRY(page_at(offset));
    const size_t at = offset % kPageSize;
    const size_t count = static_cast<size_t>(std::min<uint64_t>(length, kPageSize - at));
    std::memset(page->bytes.data() + at, value, count);
    mark(*page, at, count);
    offset += count;
    length -= count;
  }
  return {};
}

Result<> MetadataCache::write_page(uint64_t offset, Page& page) {
  const unsigned last = 31u - static_cast<unsigned>(std::countl_zero(page.dirty | 1));
  if (offset + last * kSector < solid_until_) {
    const unsigned first = static_cast<unsigned>(std::countr_zero(page.dirty | uint32_t{1} << last));
    for (unsigned i = first; i <= last; ++i) page.dirty |= uint32_t{1} << i;
  }
  unsigned sector = 0;
  while (sector < 32) {
    if ((page.dirty >> sector & 1) == 0) {
      ++sector;
      continue;
    }
    unsigned end = sector;
    while (end < 32 && (page.dirty >> end & 1) != 0) ++end;
    TRY(file_.write(offset + sector * kSector,
                    std::span(page.bytes).subspan(sector * kSector, (end - sector) * kSector)));
    sector = end;
  }
  page.dirty = 0;
  return {};
}

Result<> MetadataCache::write_back() {
  if (first_ != nullptr) TRY(first_->write_back());
  if (!any_dirty_) return {};
  std::vector<uint64_t> offsets;
  for (const auto& [offset, page] : pages_) {
    if (page->dirty != 0) offsets.push_back(offset);
  }
  std::ranges::sort(offsets);
  for (const uint64_t offset : offsets) TRY(write_page(offset, *pages_[offset]));
  any_dirty_ = false;
  return {};
}

}  // namespace rhea::block
