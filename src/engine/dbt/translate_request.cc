// From a place in guest memory to a published block: room in the cache, pages that become code pages,
// instructions that cross pages or lie outside RAM.
//
// A page becomes a code page with every other vCPU at a safepoint (when there is more than one): first its
// mark is set, so that no new write entry is made for it, then the write entries that exist are dropped, only
// then its bytes are read and the block is published, all in one exclusive section. DMA is held off by the
// cache lock.
#include <algorithm>
#include <cstring>
#include <ctime>

#include "base/log.h"
#include "cpu/paging.h"
#include "cpu/paging_tlb.h"
#include "engine/dbt/runtime.h"
#include "engine/dbt/shared.h"
#include "engine/dbt/translate.h"

namespace rhea::dbt {

namespace {

constexpr unsigned kLongest = 15;

constexpr unsigned kTimedOneIn = 32;  // reading the thread's clock is a system call

uint64_t thread_cpu_ns() {
  timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<uint64_t>(t.tv_sec) * 1000000000u + static_cast<uint64_t>(t.tv_nsec);
}

class ExclusiveSection {
 public:
  ExclusiveSection(Exclusive& e, Context& c, bool wanted) : e_(e), c_(c), held_(wanted) {
    if (held_) e_.begin(c_);
  }
  ~ExclusiveSection() {
    if (held_) e_.end(c_);
  }
  ExclusiveSection(const ExclusiveSection&) = delete;
  ExclusiveSection& operator=(const ExclusiveSection&) = delete;

 private:
  Exclusive& e_;
  Context& c_;
  bool held_;
};

bool fetch_translation(Context& c, uint64_t linear, cpu::Translation& t) {
  return cpu::translate(c.core, linear, cpu::Access::Fetch, cpu::current_privilege(c.core), t);
}

// What is fetched ahead from where nothing is, is no access that the log should show.
uint8_t byte_of_code(Context& c, uint64_t gpa) {
  bool mapped = cpu::find_range(c.core, gpa) != nullptr;
  return mapped ? static_cast<uint8_t>(cpu::read_physical(c.core, gpa, 1)) : 0xff;
}

uint64_t next_page(const Context& c, uint64_t linear) {
  uint64_t next = (linear & ~kPageMask) + kPageSize;
  return is64(c.mode) ? next : next & 0xffffffff;
}

}  // namespace

void DbtShared::make_room(Context& c) {
  if (cache->has_room()) return;
  ExclusiveSection stopped(exclusive, c, true);
  CacheLock lock = cache->lock();
  if (cache->has_room()) return;
  cache->reset(lock);
  ++resets;
  for (Context* other : exclusive.all()) {
    for (FrontEntry& e : other->front) e.host = 0;
    for (JumpBank& j : other->jump) {
      for (JumpEntry& e : j.entry) e.rip = kEmptyRip;
      j.filled.count = 0;
    }
  }
}

// Cache lock held. False: other vCPUs must be stopped first.
bool DbtShared::claim_page(Context& c, memory::RamBlock& ram, uint64_t page, bool others_stopped) {
  if (ram.page_has_code(page)) return true;
  if (exclusive.all().size() > 1 && !others_stopped) return false;
  ram.set_page_has_code(page, true);
  const uint8_t* host_page = ram.host() + page * kPageSize;
  if (exclusive.all().size() > 1) {
    for (Context* other : exclusive.all()) drop_write_entries(*other, host_page);
  } else {
    drop_write_entries(c, host_page);
  }
  return true;
}

Block* DbtShared::translate_from_ram(Context& c, memory::RamBlock& ram, uint64_t offset, uint64_t linear,
                                     uint32_t mode, bool& crosses) {
  for (bool stop = false;; stop = true) {
    ExclusiveSection stopped(exclusive, c, stop);
    CacheLock lock = cache->lock();
    if (Block* b = cache->find(ram, offset, mode)) return b;  // another vCPU was faster
    if (!claim_page(c, ram, offset / kPageSize, stop)) continue;
    if (Block* b = cache->revive(lock, ram, offset, mode)) {
      ++c.counters.revived;
      return b;
    }
    TranslateInput in{};
    in.ram = &ram;
    in.offset = offset;
    in.page_offset = static_cast<unsigned>(linear & kPageMask);
    in.mode = mode;
    in.bytes = ram.host() + offset;
    in.available = static_cast<unsigned>(kPageSize) - in.page_offset;
    Block* b = translator.translate(lock, *c.core.cpuid, c.counters, in);
    crosses = b == nullptr;
    return b;
  }
}

Block* DbtShared::translate_crossing(Context& c, memory::RamBlock& ram, uint64_t offset, uint64_t linear,
                                     uint32_t mode, bool& faulted) {
  cpu::Translation t;
  if (!fetch_translation(c, next_page(c, linear), t)) {
    faulted = true;
    return nullptr;
  }
  const memory::FlatRange* range = cpu::find_range(c.core, t.gpa);
  for (bool stop = false;; stop = true) {
    ExclusiveSection stopped(exclusive, c, stop);
    CacheLock lock = cache->lock();
    TranslateInput in{};
    in.page_offset = static_cast<unsigned>(linear & kPageMask);
    in.mode = mode;
    if (range != nullptr && range->ram != nullptr) {
      in.ram = &ram;
      in.offset = offset;
      in.crossing = true;
      in.second_ram = range->ram;
      in.second_offset = range->offset + (t.gpa - range->start);
      if (!claim_page(c, ram, offset / kPageSize, stop)) continue;
      if (!claim_page(c, *in.second_ram, in.second_offset / kPageSize, stop)) continue;
    }
    uint8_t buffer[kLongest];
    unsigned first = std::min(static_cast<unsigned>(kPageSize) - in.page_offset, kLongest);
    std::memcpy(buffer, ram.host() + offset, first);
    for (unsigned i = first; i < kLongest; ++i) buffer[i] = byte_of_code(c, t.gpa + (i - first));
    in.bytes = buffer;
    in.available = kLongest;
    return translator.translate(lock, *c.core.cpuid, c.counters, in);
  }
}

// Code in memory that is not RAM: one instruction, used once.
Block* DbtShared::translate_elsewhere(Context& c, uint64_t linear, uint32_t mode, bool& faulted) {
  uint8_t buffer[kLongest];
  cpu::Translation t;
  for (unsigned i = 0; i < kLongest; ++i) {
    if ((i == 0 || ((linear + i) & kPageMask) == 0) &&
        !fetch_translation(c, i == 0 ? linear : next_page(c, linear), t)) {
      faulted = true;
      return nullptr;
    }
    uint64_t gpa = (t.gpa & ~kPageMask) + ((linear + i) & kPageMask);
    buffer[i] = byte_of_code(c, gpa);
    if (i == 0 && cpu::find_range(c.core, gpa) == nullptr) {
      guest_error("CPU {}: executes at {:#x}, where nothing is", c.core.index, gpa);
    }
  }
  TranslateInput in{};
  in.page_offset = static_cast<unsigned>(linear & kPageMask);
  in.mode = mode;
  in.bytes = buffer;
  in.available = kLongest;
  CacheLock lock = cache->lock();
  return translator.translate(lock, *c.core.cpuid, c.counters, in);
}

Block* DbtShared::find_or_translate(Context& c, memory::RamBlock* ram, uint64_t offset, uint64_t linear,
                                    uint32_t mode, bool& faulted) {
  bool timed = c.counters.blocks % kTimedOneIn == 0;
  uint64_t began = timed ? thread_cpu_ns() : 0;
  make_room(c);
  Block* b = nullptr;
  if (ram == nullptr) {
    b = translate_elsewhere(c, linear, mode, faulted);
  } else {
    bool crosses = false;
    b = translate_from_ram(c, *ram, offset, linear, mode, crosses);
    if (crosses) b = translate_crossing(c, *ram, offset, linear, mode, faulted);
  }
  if (b != nullptr && perf_map != nullptr) perf_map->add(*cache, *b, linear);
  if (timed) translate_ns += (thread_cpu_ns() - began) * kTimedOneIn;
  return b;
}

void cold_translate(void* arg) {
  auto& r = *static_cast<TranslateRequest*>(arg);
  r.result =
      shared_of(*r.context).find_or_translate(*r.context, r.ram, r.offset, r.linear, r.mode, r.faulted);
}

}  // namespace rhea::dbt
