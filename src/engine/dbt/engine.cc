#include "engine/dbt/engine.h"

#include <asm/prctl.h>
#include <cpuid.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>
#include <random>
#include <vector>

#include "base/check.h"
#include "cpu/control_transfer.h"
#include "cpu/paging.h"
#include "engine/dbt/diagnose.h"
#include "engine/dbt/forms.h"
#include "engine/dbt/runtime.h"
#include "engine/dbt/shared.h"
#include "engine/dbt/signals.h"

namespace rhea::dbt {

const bool kHostCrc32 = __builtin_cpu_supports("sse4.2") != 0;
const uint64_t kNoPage = [] {  // not canonical
  std::random_device random;
  uint64_t value = uint64_t{random()} << 32 | random();
  return (value | uint64_t{1} << 63 | 1) & ~(uint64_t{1} << 62);
}();
const bool kHostBmi2 = __builtin_cpu_supports("bmi2") != 0;

namespace {

constexpr cpu::EngineHooks kHooks{hook_flush_tlb, hook_flush_page, hook_mode_changed};

uint64_t host_xcr0() {
  uint32_t a = 0, d = 0;
  asm volatile("xgetbv" : "=a"(a), "=d"(d) : "c"(0));
  return a | static_cast<uint64_t>(d) << 32;
}

// The trampoline must not save twice: inside it the host's registers are ours.
void call_cold(void (*fn)(void*), void* arg);
thread_local Context* current = nullptr;

class Engine final : public cpu::Engine {
 public:
  Engine(std::shared_ptr<DbtShared> shared, Context* context) : shared_(std::move(shared)), c_(context) {
    shared_->exclusive.add(*c_);
  }
  ~Engine() override {
    shared_->exclusive.remove(*c_);
    munmap(c_, sizeof(Context));
  }

  cpu::Exit run() override;
  void kick() override {}  // translated code polls Core::pending itself
  cpu::Core& core() override { return c_->core; }
  void pull() override {}
  void push() override { flush_everything(*c_); }
  void set_debug(const cpu::DebugRequest* request) override {
    c_->debugger_step = request != nullptr && request->single_step;
    c_->debug = request;
    c_->watching = 0;
    flush_everything(*c_);  // blocks are found through the dispatcher from now on
  }
  cpu::DebugHit debug_hit() const override {
    return {static_cast<cpu::DebugHit::Kind>(c_->debug_exit), c_->debugger_hit_linear};
  }

 private:
  std::shared_ptr<DbtShared> shared_;
  Context* c_;
};

cpu::Exit Engine::run() {
  Context& c = *c_;
  current = &c;
  // SAFETY: gs is free for us in a 64-bit Linux process (TLS is fs); translated code finds its Context there.
  syscall(SYS_arch_prctl, ARCH_SET_GS, &c);
  prepare_thread_for_faults();
  c.exit_reason = 0;
  shared_->exclusive.enter(c);
  const uint8_t* host = dispatch(c);  // with in_cold set: guest vector state is in the state
  if (host != nullptr) {
    c.in_cold = 0;
    shared_->thunks.enter(&c, host);
    c.in_cold = 1;
  }
  shared_->exclusive.leave(c);
  CHECK(c.exit_reason != 0);
  return static_cast<cpu::Exit>(c.exit_reason - 1);
}

void call_cold(void (*fn)(void*), void* arg) {
  Context* c = current;
  if (c == nullptr || c->in_cold != 0) {
    fn(arg);
    return;
  }
  c->in_cold = 1;
  shared_of(*c).thunks.cold(fn, arg);
  c->in_cold = 0;
}

}  // namespace

DbtShared::DbtShared(const DbtOptions& options_in, std::unique_ptr<CodeCache> cache_in)
    : options(options_in),
      cache(std::move(cache_in)),
      thunks(make_thunks(*cache)),
      translator(*cache, thunks, options) {
  memory::RamBlock::set_code_listener(this);
  cache->on_far_chunk([this](unsigned chunk) {
    for (Context* c : exclusive.all()) empty_far_chunk(*c, chunk);
  });
  cache->on_drop([this](const Block& b) {
    if (b.ram == nullptr) return;
    uint64_t place = place_key(*b.ram, b.offset);
    for (Context* c : exclusive.all()) {
      FrontEntry& e = c->front[front_index(place, b.mode)];
      if (e.place == place && (e.mode & ~FrontEntry::kCrossing) == b.mode) e.host = 0;
    }
  });
}

DbtShared::~DbtShared() {
  memory::RamBlock::set_code_listener(nullptr);
}

void DbtShared::code_written(memory::RamBlock& block, uint64_t offset, uint64_t length) {
  CacheLock lock = cache->lock();
  dropped += cache->drop_range(lock, block, offset, length);
}

Result<std::shared_ptr<DbtShared>> make_dbt_shared(const DbtOptions& options) {
  auto cache = TRY(CodeCache::create(options.cache_bytes, options.huge_code));
  DbtOptions effective = options;
  if (options.deterministic) effective.inline_system = false;        // inline, RDTSC reads the host's counter
  if (exec_logged()) effective.link = effective.jump_cache = false;  // -d exec shows every block entered
  auto shared = std::make_shared<DbtShared>(effective, std::move(cache));
  if (options.perf_map) shared->perf_map = TRY(PerfMap::create());
  return shared;
}

Result<std::unique_ptr<cpu::Engine>> make_dbt_engine(std::shared_ptr<DbtShared> shared, unsigned index) {
  void* m = mmap(nullptr, sizeof(Context), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (m == MAP_FAILED) return fail_errno(errno, "allocating a vCPU");
  // SAFETY: everything but the core starts as zeros, which is what the mapping holds: megabytes of tables
  // that stay untouched until a bank is used.
  auto* c = static_cast<Context*>(m);
  new (&c->core) cpu::Core;
  c->self = c;
  c->cache = shared->cache.get();
  c->owner = shared.get();
  c->in_cold = 1;
  c->host_mxcsr = 0x1f80;
  c->xsave_mask = host_xcr0() & 0xe7;
  c->link_on = shared->options.link;
  c->large_on = shared->options.large_pages;
  c->hot_on = shared->options.hot && shared->options.slots && shared->options.probe;
  c->always_single = shared->options.single;
  c->quick_on = shared->options.quick_dispatch && !exec_logged();
  c->core.counts_time = shared->options.deterministic;
  c->core.random_state = index;
  c->debug_skip = kEmptyRip;
  c->log_exec = exec_logged();
  c->log_int = events_logged();
  c->mode = ~0u;
  for (unsigned n = 0; n < c->cache->far_chunks(); ++n) empty_far_chunk(*c, n);
  flush_everything(*c);
  c->core.index = index;
  c->core.hooks = &kHooks;
  c->core.engine = c;
  c->core.call_cold = call_cold;
  install_fault_handlers(*shared->cache, shared->thunks);
  return std::make_unique<Engine>(std::move(shared), c);
}

void cold_link(void* arg) {
  auto& r = *static_cast<LinkRequest*>(arg);
  DbtShared& shared = shared_of(*r.context);
  CacheLock lock = shared.cache->lock();
  shared.cache->link(lock, *r.site, *r.to);
}

void cold_drop(void* arg) {
  auto& r = *static_cast<DropRequest*>(arg);
  shared_of(*r.context).code_written(*r.ram, r.offset, r.length);
}

void cold_drop_block(void* arg) {
  auto& r = *static_cast<TranslateRequest*>(arg);
  DbtShared& shared = shared_of(*r.context);
  CacheLock lock = shared.cache->lock();
  shared.cache->drop(lock, *r.result);
}

void cold_concede(void* arg) {
  auto& r = *static_cast<SiteRequest*>(arg);
  CodeCache& cache = *shared_of(*r.context).cache;
  CacheLock lock = cache.lock();
  Block* b = const_cast<Block*>(cache.block_at(reinterpret_cast<uintptr_t>(r.site)));
  if (b == nullptr) return;
  bool groups = (r.site->flags & AccessSite::kGroup) != 0;
  bool narrow = (cache.concessions(b->ram, b->offset) & CodeCache::kNarrowGroups) != 0;
  cache.concede(lock, *b,
                !groups  ? CodeCache::kAlternatives
                : narrow ? CodeCache::kNoGroups
                         : CodeCache::kNarrowGroups);
}

void cold_heat(void* arg) {
  constexpr size_t kMost = 24;
  auto& r = *static_cast<HeatRequest*>(arg);
  CodeCache& cache = *shared_of(*r.context).cache;
  CacheLock lock = cache.lock();
  std::vector<Block*> hot;
  auto add = [&](Block* b) {
    if (b == nullptr || hot.size() == kMost || std::find(hot.begin(), hot.end(), b) != hot.end()) return;
    if ((cache.concessions(b->ram, b->offset) & CodeCache::kHot) == 0) hot.push_back(b);
  };
  add(cache.find(*r.ram, r.offset, r.mode));
  for (size_t n = 0; n < hot.size(); ++n) {
    for (const LinkSite* l = hot[n]->links; l != nullptr; l = l->next_outgoing) add(l->to);
  }
  for (Block* b : hot) cache.concede(lock, *b, CodeCache::kHot);
}

void cold_safepoint(void* arg) {
  auto& c = *static_cast<Context*>(arg);
  shared_of(c).exclusive.safepoint(c);
}

void cold_lock_begin(void* arg) {
  auto& c = *static_cast<Context*>(arg);
  shared_of(c).exclusive.begin(c);
}

void cold_lock_end(void* arg) {
  auto& c = *static_cast<Context*>(arg);
  shared_of(c).exclusive.end(c);
}

void cold_memory_changed(void* arg) {
  auto& c = *static_cast<Context*>(arg);
  cpu::paging_memory_changed(c.core);
}

void cold_dropped_offset(void* arg) {
  auto& r = *static_cast<DroppedRequest*>(arg);
  DbtShared& shared = shared_of(*r.context);
  CacheLock lock = shared.cache->lock();
  const Block* b = shared.cache->block_at(reinterpret_cast<uintptr_t>(r.direct_entry));
  CHECK(b != nullptr);
  r.page_offset = static_cast<uint32_t>(b->offset & kPageMask);
  // This vCPU may have noted the block just as another dropped it.
  if (b->ram == nullptr) return;
  uint64_t place = place_key(*b->ram, b->offset);
  FrontEntry& e = r.context->front[front_index(place, b->mode)];
  if (e.place == place && (e.mode & ~FrontEntry::kCrossing) == b->mode) e.host = 0;
}

void cold_helper(void* arg) {
  auto& r = *static_cast<HelperRequest*>(arg);
  r.outcome = static_cast<uint32_t>(r.insn->form->helper(r.context->core, *r.insn));
}

JitInfo jit_info(DbtShared& shared) {
  JitInfo info{};
  for (const Context* c : shared.exclusive.all()) {
    const Counters& n = c->counters;
    info.blocks += n.blocks, info.guest_insns += n.guest_insns, info.guest_bytes += n.guest_bytes;
    info.host_bytes += n.host_bytes, info.slow_stores += n.slow_stores, info.flushes += n.flushes;
    info.access_misses += n.access_misses, info.lookups += n.lookups, info.helper_calls += n.helper_calls;
    info.revived += n.revived;
    info.interrupts += n.interrupts, info.exceptions += n.exceptions;
  }
  info.dropped = shared.dropped;
  info.cache_resets = shared.resets;
  info.cache_used = shared.cache->used();
  info.index_bytes = shared.cache->index_bytes();
  info.cache_size = shared.cache->capacity();
  info.translate_ns = shared.translate_ns;
  return info;
}

}  // namespace rhea::dbt
