// The lookups that translated code's run time makes: general registers only, no lock.
#include "engine/dbt/code_cache.h"

namespace rhea::dbt {

Block* CodeCache::find(const memory::RamBlock& ram, uint64_t offset, uint32_t mode) const {
  for (Block* b = heads_[hash(ram.id(), offset, mode)].load(std::memory_order_acquire); b != nullptr;
       b = b->hash_next.load(std::memory_order_acquire)) {
    if (b->offset == offset && b->mode == mode && b->ram == &ram &&
        !b->dropped.load(std::memory_order_relaxed))
      return b;
  }
  return nullptr;
}

CodePage* CodeCache::page_at(const memory::RamBlock& ram, uint64_t page) const {
  if (ram.id() >= kMaxRams || tables_[ram.id()].pages == nullptr || page >= tables_[ram.id()].count)
    return nullptr;
  return tables_[ram.id()].pages[page].load(std::memory_order_acquire);
}

uint64_t CodeCache::code_lines(const memory::RamBlock& ram, uint64_t page) const {
  const CodePage* p = page_at(ram, page);
  return p == nullptr ? 0 : p->lines.load(std::memory_order_acquire);
}

bool CodeCache::near_store(const memory::RamBlock& ram, uint64_t page) const {
  CodePage* p = page_at(ram, page);
  if (p == nullptr) return false;
  const uint32_t limit = p->near_limit.load(std::memory_order_relaxed);
  if (p->near_stores.fetch_add(1, std::memory_order_relaxed) + 1 < limit) return false;
  p->near_stores.store(0, std::memory_order_relaxed);
  p->near_limit.store(limit >= 1u << 30 ? limit : 2 * limit, std::memory_order_relaxed);
  return true;
}

}  // namespace rhea::dbt
