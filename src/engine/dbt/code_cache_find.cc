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

uint64_t CodeCache::code_lines(const memory::RamBlock& ram, uint64_t page) const {
  if (ram.id() >= kMaxRams || tables_[ram.id()].pages == nullptr || page >= tables_[ram.id()].count) return 0;
  CodePage* p = tables_[ram.id()].pages[page].load(std::memory_order_acquire);
  return p == nullptr ? 0 : p->lines.load(std::memory_order_acquire);
}

}  // namespace rhea::dbt
