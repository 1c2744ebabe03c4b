// Tables of a format (block maps, grain tables) in memory: read on demand a page at a time, changed in place,
// written back later. Bounded, so that a table's size in a header costs nothing. Only sectors that were
// changed are written back: a page may hold data beside a table.
//
// Caller holds the image's lock.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <memory>
#include <span>
#include <unordered_map>

#include "base/endian.h"
#include "block/node.h"

namespace rhea::block {

class MetadataCache {
 public:
  explicit MetadataCache(BlockNode& file) : file_(file) {}
  // `first` is written back before this cache is: its tables must be there before this one's point to them.
  MetadataCache(BlockNode& file, MetadataCache& first) : file_(file), first_(&first) {}

  // `offset` in the file, aligned to the size of T. Zero past the end of the file.
  template <std::unsigned_integral T, std::endian Order>
  Result<T> load(uint64_t offset) {
    const Page* page = TRY(page_at(offset));
    return rhea::load<T, Order>(page->bytes.data() + offset % kPageSize);
  }
  template <std::unsigned_integral T, std::endian Order>
  Result<> store(uint64_t offset, T value) {
    Page* page = TRY(page_at(offset));
    rhea::store<T, Order>(page->bytes.data() + offset % kPageSize, value);
    mark(*page, offset % kPageSize, sizeof(T));
    return {};
  }
  // A new table of bytes that are all `value`, whatever was there.
  Result<> fill(uint64_t offset, uint64_t length, uint8_t value);
  Result<> write_back();
  // Everything below `offset` is tables: what was changed in a page there is written by one call, with what
  // lies between, so that a killed process leaves all of it or nothing.
  void set_solid_until(uint64_t offset) { solid_until_ = offset; }

 private:
  static constexpr size_t kPageSize = 16384;
  static constexpr size_t kSector = 512;
  static constexpr size_t kMaxPages = 512;

  struct Page {
    std::array<uint8_t, kPageSize> bytes{};
    uint32_t dirty = 0;  // a bit a sector
  };
  static_assert(kPageSize / kSector == 32);

  Result<Page*> page_at(uint64_t offset);
  Result<> write_page(uint64_t offset, Page& page);
  void mark(Page& page, size_t at, size_t length);

  BlockNode& file_;
  MetadataCache* first_ = nullptr;
  std::unordered_map<uint64_t, std::unique_ptr<Page>> pages_;
  Page* last_ = nullptr;  // the one asked for last, which is asked for again mostly
  uint64_t last_offset_ = 0;
  bool any_dirty_ = false;
  uint64_t solid_until_ = 0;
};

}  // namespace rhea::block
