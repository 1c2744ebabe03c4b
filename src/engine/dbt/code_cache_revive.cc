// Code that changes back: loaders that patch operands before each call, programs that are loaded to the same
// place again and again. In a page that loses blocks often, what a block was made from is kept; when its
// place is to be translated and the bytes are those, it lives again.
#include <algorithm>
#include <cstring>
#include <vector>

#include "engine/dbt/code_cache.h"
#include "engine/dbt/context.h"
#include "engine/dbt/patch.h"

namespace rhea::dbt {

namespace {

constexpr uint32_t kMostRetired = 256;  // of a page
constexpr uint16_t kGate = 0x9066;      // what a live block has at its gate

// All ranges of a block's page that it was made from, its own first.
template <class Each>
bool for_sources(const Block& block, Each each) {
  const uint8_t* page = block.ram->host() + (block.offset & ~kPageMask);
  if (!each(page + (block.offset & kPageMask), block.guest_bytes)) return false;
  return std::ranges::all_of(std::span(block.looked_at.get(), block.looked_count), [&](const ByteRange& r) {
    return each(page + r.begin, static_cast<size_t>(r.end - r.begin));
  });
}

}  // namespace

void CodeCache::keep_source(Block& block) {
  if (page_for(*block.ram, block.offset / kPageSize).drops <= kPatience) return;
  std::vector<uint8_t> bytes;
  for_sources(block, [&](const uint8_t* at, size_t n) {
    bytes.insert(bytes.end(), at, at + n);
    return true;
  });
  block.source = arena_.copy(std::span<const uint8_t>(bytes)).data();
}

void CodeCache::retire(CodePage& page, Block& block) {
  if (block.source.get() == nullptr || page.retired_count == kMostRetired) return;
  block.page_next = page.retired.get();
  page.retired = &block;
  ++page.retired_count;
}

Block* CodeCache::revive(CacheLock&, memory::RamBlock& ram, uint64_t offset, uint32_t mode) {
  CodePage* page = page_at(ram, offset / kPageSize);
  if (page == nullptr || page->retired.get() == nullptr) return nullptr;
  const uint8_t conceded = concessions(&ram, offset);
  for (Near<Block>* at = &page->retired; at->get() != nullptr; at = &at->get()->page_next) {
    Block& block = *at->get();
    if (block.offset != offset || block.mode != mode || block.conceded != conceded) continue;
    const uint8_t* kept = block.source;
    const bool same = for_sources(block, [&](const uint8_t* now, size_t n) {
      const bool equal = std::memcmp(now, kept, n) == 0;
      kept += n;
      return equal;
    });
    if (!same) continue;
    *at = block.page_next;
    --page->retired_count;
    for (LinkSite* l = block.links; l != nullptr; l = l->next_outgoing)
      patch_code(at_place(l->rel32), l->unlinked - (l->rel32 + 4));
    block.dropped.store(false);
    patch_code(block.gate(), kGate);
    attach(block, ram, offset / kPageSize, block.lines);
    find_by_hash(block);
    return &block;
  }
  return nullptr;
}

}  // namespace rhea::dbt
