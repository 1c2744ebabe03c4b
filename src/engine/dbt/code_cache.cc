#include "engine/dbt/code_cache.h"

#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>

#include "base/check.h"
#include "engine/dbt/patch.h"

namespace rhea::dbt {

namespace {
constexpr uint64_t kBlockReserve = 128 * 1024;  // more than the largest block can need, hot or cold
constexpr uint64_t kLargestIndex = uint64_t{1} << 30;
constexpr uint64_t kIndexReserve = 128 * 1024;  // the same for what is known about it
// Of the cache, in sixteenths: code that runs straight through. The rest is for stubs.
constexpr uint64_t kHotShare = 10;
}  // namespace

Result<std::unique_ptr<CodeCache>> CodeCache::create(uint64_t bytes, bool huge_pages) {
  std::unique_ptr<CodeCache> c(new CodeCache);
  c->size_ = std::max<uint64_t>((bytes + 4095) & ~uint64_t{4095}, 8 * kBlockReserve);
  TRY(c->memory_.create("rhea-code", c->size_, huge_pages, true));
  TRY(c->index_memory_.create("rhea-code-index", std::min(c->size_, kLargestIndex), huge_pages, false));
  c->arena_.create(c->index_memory_.writable(), c->index_memory_.size());
  c->rw_ = c->cursor_ = c->thunks_end_ = c->memory_.writable();
  c->cold_begin_ = c->cold_cursor_ = c->rw_ + (c->size_ / 16 * kHotShare & ~uint64_t{4095});
  c->rx_ = c->memory_.executable();
  c->heads_.reset(
      static_cast<std::atomic<Block*>*>(std::calloc(1u << kHashBits, sizeof(std::atomic<Block*>))));
  if (c->heads_ == nullptr) return fail_errno(ENOMEM, "allocating the translation cache's index");
  return c;
}

CodeCache::~CodeCache() {
  for (PageTable& t : tables_) {
    if (t.pages != nullptr) munmap(static_cast<void*>(t.pages), t.count * sizeof(*t.pages));
  }
}

bool CodeCache::has_room() const {
  return arena_.left() >= kIndexReserve && static_cast<uint64_t>(cold_begin_ - cursor_) >= kBlockReserve &&
         static_cast<uint64_t>(rw_ + size_ - cold_cursor_) >= kBlockReserve;
}
void CodeCache::prepare(CacheLock&) {
  constexpr uint64_t kUsualBlock = 8 * 1024;
  memory_.prepare(static_cast<uint64_t>(cursor_ - rw_), kUsualBlock);
  memory_.prepare(static_cast<uint64_t>(cold_cursor_ - rw_), kUsualBlock);
  index_memory_.prepare(arena_.used(), kUsualBlock);
}
void CodeCache::set_thunks_end() {
  thunks_end_ = cursor_;
}

Block& CodeCache::make_block(CacheLock&) {
  return arena_.make<Block>();
}
CrossingBlock& CodeCache::make_crossing_block(CacheLock&) {
  return arena_.make<CrossingBlock>();
}
LinkSite& CodeCache::make_link(CacheLock&) {
  return arena_.make<LinkSite>();
}
const Insn* CodeCache::keep(CacheLock&, const Insn& insn) {
  return &arena_.make<Insn>(insn);
}
std::span<const FaultPoint> CodeCache::keep(CacheLock&, std::span<const FaultPoint> points) {
  return arena_.copy(points);
}

std::span<const ByteRange> CodeCache::keep(CacheLock&, std::span<const ByteRange> ranges) {
  return arena_.copy(ranges);
}

CodePage& CodeCache::page_for(memory::RamBlock& ram, uint64_t page) {
  CHECK(ram.id() < kMaxRams);
  PageTable& t = tables_[ram.id()];
  if (t.pages == nullptr) {
    uint64_t count = ram.size() / kPageSize;
    void* m = mmap(nullptr, count * sizeof(*t.pages), PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(m != MAP_FAILED);
    t.pages = static_cast<std::atomic<CodePage*>*>(m);
    t.count = count;
  }
  CHECK(page < t.count);
  CodePage* p = t.pages[page].load(std::memory_order_relaxed);
  if (p == nullptr) {
    p = &arena_.make<CodePage>();
    t.pages[page].store(p, std::memory_order_release);
  }
  return *p;
}

void CodeCache::attach(Block& block, memory::RamBlock& ram, uint64_t page, uint64_t lines) {
  CodePage& p = page_for(ram, page);
  p.lines.store(p.lines.load(std::memory_order_relaxed) | lines, std::memory_order_seq_cst);
  ram.set_page_has_code(page, true);
  if (&ram == block.ram && page == block.offset / kPageSize) {
    block.page_next = p.blocks.get();
    p.blocks = &block;
  }
}

void CodeCache::publish(CacheLock&, Block& block) {
  cursor_ = block.end();
  cold_cursor_ = block.cold_end();
  by_address_.push_back(&block);
  if (block.ram == nullptr) return;  // not from RAM: used once, never found
  attach(block, *block.ram, block.offset / kPageSize, block.lines);
  if (!block.crossing) keep_source(block);
  if (block.crossing) {
    auto& two = static_cast<CrossingBlock&>(block);
    CodePage& second = page_for(*two.second_ram, two.second_offset / kPageSize);
    second.lines.store(second.lines.load(std::memory_order_relaxed) | 1, std::memory_order_seq_cst);
    two.second_ram->set_page_has_code(two.second_offset / kPageSize, true);
    for (Near<CrossingBlock>* at = &second.ending; at->get() != nullptr;) {
      if (at->get()->dropped) {
        *at = at->get()->ending_next;
      } else {
        at = &at->get()->ending_next;
      }
    }
    two.ending_next = second.ending;
    second.ending = &two;
  }
  find_by_hash(block);
}

void CodeCache::find_by_hash(Block& block) {
  auto& head = heads_[hash(block.ram->id(), block.offset, block.mode)];
  block.hash_next.store(head.load(std::memory_order_relaxed), std::memory_order_relaxed);
  head.store(&block, std::memory_order_release);
}

void CodeCache::drop(CacheLock&, Block& block) {
  if (block.dropped.exchange(true)) return;
  drop_epoch_.fetch_add(1);
  if (drop_listener_) drop_listener_(block);
  // Whoever still reaches the entry (another vCPU's jump table) goes to the dispatcher: two bytes that one
  // write replaces, `jmp` back to the call that the block's code starts with.
  auto back = static_cast<uint8_t>(block.start - (block.gate() + 2));
  auto jump_back = static_cast<uint16_t>(0xeb | static_cast<unsigned>(back) << 8);
  patch_code(block.gate(), jump_back);
  for (LinkSite* l = block.incoming; l != nullptr; l = l->next_incoming) {
    if (l->to != &block) continue;
    l->to = nullptr;
    l->to_host = 0;
    patch_code(at_place(l->rel32), l->unlinked - (l->rel32 + 4));
  }
  block.incoming = nullptr;
  for (LinkSite* l = block.links; l != nullptr; l = l->next_outgoing) {
    if (l->to == nullptr) continue;
    for (Near<LinkSite>* in = &l->to->incoming; in->get() != nullptr; in = &in->get()->next_incoming) {
      if (in->get() == l) {
        *in = l->next_incoming;
        break;
      }
    }
    l->to = nullptr;
    l->to_host = 0;
  }
  if (block.ram == nullptr) return;
  auto* at = &heads_[hash(block.ram->id(), block.offset, block.mode)];
  for (Block* b = at->load(); b != nullptr; at = &b->hash_next, b = at->load()) {
    if (b == &block) {
      at->store(block.hash_next.load());
      break;
    }
  }
}

unsigned CodeCache::drop_range(CacheLock& lock, memory::RamBlock& ram, uint64_t offset, uint64_t length) {
  if (length == 0 || ram.id() >= kMaxRams || tables_[ram.id()].pages == nullptr) return 0;
  unsigned dropped = 0;
  for (uint64_t page = offset / kPageSize; page <= (offset + length - 1) / kPageSize; ++page) {
    if (page >= tables_[ram.id()].count) break;
    CodePage* p = tables_[ram.id()].pages[page].load();
    if (p == nullptr) continue;
    uint64_t first = std::max(offset, page * kPageSize) - page * kPageSize;
    uint64_t last = std::min(offset + length, (page + 1) * kPageSize) - 1 - page * kPageSize;
    uint64_t mask = (~uint64_t{0} << (first / 64)) & (~uint64_t{0} >> (63 - last / 64));
    if ((p->lines.load() & mask) == 0) continue;
    // Data next to code costs a look at each store as long as the code is there: the code goes, and comes
    // back if it is needed. Where it keeps coming back only what has changed goes, most of the time.
    constexpr uint32_t kExactRuns = 64;
    const bool exact = ++p->drops > kPatience && p->drops % kExactRuns != 0;
    if ((mask & 1) != 0) {  // blocks that start on another page and end here are not in this page's list
      for (CrossingBlock* b = p->ending.get(); b != nullptr; b = b->ending_next.get()) {
        if (!b->dropped) drop(lock, *b), ++dropped;
      }
      p->ending = nullptr;
    }
    uint64_t left = 0;
    Near<Block>* at = &p->blocks;
    while (at->get() != nullptr) {
      Block& b = *at->get();
      if (!b.dropped && (b.lines & mask) != 0 && (!exact || b.made_from(first, last)))
        drop(lock, b), ++dropped;
      if (b.dropped) {
        *at = b.page_next;
        retire(*p, b);
      } else {
        left |= b.lines;
        at = &b.page_next;
      }
    }
    if (p->ending.get() != nullptr) left |= 1;
    p->lines.store(left);
    if (left == 0) ram.set_page_has_code(page, false);
  }
  return dropped;
}

void CodeCache::concede(CacheLock& lock, Block& block, Concession what) {
  if (block.ram == nullptr) return;
  concessions_[static_cast<uint64_t>(block.ram->id()) << 48 | block.offset] |= what;
  drop(lock, block);
}

void CodeCache::link(CacheLock&, LinkSite& site, Block& to) {
  if (site.to != nullptr || to.dropped || site.from->dropped) return;
  bool far = site.far_slot != 0;
  const Block* place = site.place;
  if (far && place != nullptr && (place->ram != to.ram || place->offset != to.offset)) {
    if (site.predicted) std::atomic_ref(site.to_host).store(kByTable, std::memory_order_release);
    return;
  }
  site.to = &to;
  site.next_incoming = to.incoming;
  to.incoming = &site;
  const uint8_t* entry = site.predicted ? to.dispatched()
                         : far          ? to.paged()
                         : site.slotted ? to.slotted()
                                        : to.direct();
  patch_code(at_place(site.rel32), place_of(entry) - (site.rel32 + 4));
  if (!far) return;
  site.place = &to;
  auto host = static_cast<uint32_t>(reinterpret_cast<uintptr_t>(executable(to.dispatched())));
  if (host > kByTable) std::atomic_ref(site.to_host).store(host, std::memory_order_release);
}

uint32_t CodeCache::make_far_slot(CacheLock&, Bank bank) {
  uint32_t& next = far_next_[bank];
  if (next % kFarChunk == 0) {
    if (far_chunks_ == kFarSlots / kFarChunk) return 0;
    far_banks_[far_chunks_] = bank;
    if (far_listener_) far_listener_(far_chunks_);
    next = far_chunks_++ * kFarChunk;
    if (next == 0) ++next;  // 0 says that there is none
  }
  return next++;
}

void CodeCache::reset(CacheLock&) {
  ++resets_;
  for (unsigned i = 0; i < (1u << kHashBits); ++i) heads_[i].store(nullptr);
  for (const Block* b : by_address_) {
    if (b->ram != nullptr) b->ram->set_page_has_code(b->offset / kPageSize, false);
    if (!b->crossing) continue;
    const auto* two = static_cast<const CrossingBlock*>(b);
    if (two->second_ram != nullptr) two->second_ram->set_page_has_code(two->second_offset / kPageSize, false);
  }
  for (PageTable& t : tables_) {
    if (t.pages != nullptr) madvise(static_cast<void*>(t.pages), t.count * sizeof(*t.pages), MADV_DONTNEED);
  }
  by_address_.clear();
  concessions_.clear();
  far_chunks_ = 0;
  for (uint32_t& next : far_next_) next = 0;
  arena_.reset();
  cursor_ = thunks_end_;
  cold_cursor_ = cold_begin_;
}

const Block* CodeCache::block_at(uintptr_t executable_address) const {
  const uint8_t* at = writable(reinterpret_cast<const uint8_t*>(executable_address));
  bool cold = at >= cold_begin_;
  auto it = std::upper_bound(
      by_address_.begin(), by_address_.end(), at,
      [cold](const uint8_t* a, const Block* b) { return a < (cold ? b->cold_start() : b->start); });
  if (it == by_address_.begin()) return nullptr;
  const Block* b = *--it;
  return at < (cold ? b->cold_end() : b->end()) ? b : nullptr;
}

}  // namespace rhea::dbt
