#include "engine/dbt/signals.h"

#include <signal.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <ucontext.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "cpu/paging.h"
#include "cpu/paging_tlb.h"
#include "engine/dbt/code_cache.h"
#include "engine/dbt/context.h"
#include "engine/dbt/helpers/fpu_image.h"
#include "engine/dbt/helpers/vector_operand.h"
#include "engine/dbt/thunks.h"
#include "memory/address_space.h"
#include "memory/write_watch.h"

namespace rhea::dbt {

namespace {

std::atomic<CodeCache*> code{nullptr};
std::atomic<const uint8_t*> fault_entry{nullptr};

uint64_t context_address() {
  uint64_t self = 0;
  asm volatile("movq %%gs:%c1, %0" : "=r"(self) : "i"(offsetof(Context, self)));
  return self;
}

// The guest's vector for a host signal, or -1: not the guest's doing.
int guest_vector(int signal, const siginfo_t* info, const ucontext_t* u) {
  auto trap = static_cast<unsigned>(u->uc_mcontext.gregs[REG_TRAPNO]);
  if (signal == SIGFPE) {
    if (trap == 0) return cpu::vec::DE;
    if (trap == 16) return cpu::vec::MF;
    if (trap == 19) return cpu::vec::XM;
    return -1;
  }
  if (signal == SIGSEGV) {
    if (trap == 13) return cpu::vec::GP;
    // The empty slot leads to host page 0: a non-canonical guest address.
    if (trap == 14 && reinterpret_cast<uintptr_t>(info->si_addr) < kPageSize) return cpu::vec::GP;
  }
  return -1;
}

// The instruction of the fault table that stands at or before the host pc; null: none.
const FaultPoint* fault_point(const CodeCache& cache, const Block& b, uintptr_t pc) {
  auto offset = static_cast<uint32_t>(cache.writable(reinterpret_cast<const uint8_t*>(pc)) - b.start);
  std::span<const FaultPoint> faults = b.faults();
  auto it = std::upper_bound(faults.begin(), faults.end(), offset,
                             [](uint32_t o, const FaultPoint& f) { return o < f.host_begin; });
  return it == faults.begin() ? nullptr : &*--it;
}

void on_fault(int signal, siginfo_t* info, void* ucontext) {
  auto* u = static_cast<ucontext_t*>(ucontext);
  auto pc = static_cast<uintptr_t>(u->uc_mcontext.gregs[REG_RIP]);
  if (uintptr_t resume; signal == SIGFPE && helpers::native_trap(pc, resume)) {
    u->uc_mcontext.gregs[REG_RIP] = static_cast<greg_t>(resume);
    return;
  }
  if (signal == SIGSEGV && memory::WriteWatch::on_fault(info->si_addr)) return;
  CodeCache* cache = code.load();
  int vector = cache != nullptr && cache->contains(pc) ? guest_vector(signal, info, u) : -1;
  if (vector >= 0) {
    CacheLock lock = cache->lock();
    const Block* b = cache->block_at(pc);
    if (b != nullptr) {
      auto* c = reinterpret_cast<Context*>(context_address());
      if (const FaultPoint* point = fault_point(*cache, *b, pc); point != nullptr) {
        bool masked = vector == cpu::vec::XM && (c->core.s.cr4 & cpu::cr4::OSXMMEXCPT) == 0;
        c->signal_vector = masked ? cpu::vec::UD : static_cast<uint32_t>(vector);
        c->signal_page_offset = point->page_offset;
        if (point->rsi_in_t2) u->uc_mcontext.gregs[REG_RSI] = u->uc_mcontext.gregs[REG_R11];
        if (point->flags_in_slot) {
          uint64_t saved = c->core.s.status_flags;
          auto eflags = static_cast<uint64_t>(u->uc_mcontext.gregs[REG_EFL]) & ~cpu::rflags::kStatus;
          eflags |= (saved >> 8 & 0xd5) | ((saved & 1) != 0 ? cpu::rflags::OF : 0);
          u->uc_mcontext.gregs[REG_EFL] = static_cast<greg_t>(eflags);
        }
        u->uc_mcontext.gregs[REG_RIP] = static_cast<greg_t>(reinterpret_cast<uintptr_t>(fault_entry.load()));
        return;
      }
    }
  }
  struct sigaction plain {};
  plain.sa_handler = SIG_DFL;
  sigaction(signal, &plain, nullptr);  // returning repeats the fault, now fatally
}

// Blocks do not know their linear address, so the guest's is known only while it runs in the same page.
bool locate_x87(cpu::Core& core, uint64_t host_pc, uint64_t& rip) {
  CodeCache* cache = code.load();
  if (cache == nullptr || !cache->contains(host_pc)) return false;
  rip = 0;
  CacheLock lock = cache->lock();
  const Block* b = cache->block_at(host_pc);
  const FaultPoint* point = b == nullptr ? nullptr : fault_point(*cache, *b, host_pc);
  if (point == nullptr || b->ram == nullptr) return true;
  cpu::Translation t;
  uint64_t base = core.s.code64() ? 0 : core.s.seg[cpu::CS].base;
  const memory::FlatRange* range = nullptr;
  cpu::Fault kept = core.fault;
  bool mapped =
      cpu::translate(core, base + core.s.rip, cpu::Access::Fetch, cpu::current_privilege(core), t) &&
      cpu::host_pointer(core, t.gpa, 1, range) != nullptr;
  core.fault = kept;
  if (!mapped || range->ram != b->ram) return true;
  uint64_t here = range->offset + (t.gpa - range->start);
  if ((here ^ b->offset) / kPageSize == 0) rip = (core.s.rip & ~kPageMask) + point->page_offset;
  return true;
}

}  // namespace

void install_fault_handlers(CodeCache& cache, const Thunks& thunks) {
  code = &cache;
  helpers::locate_host_pc = locate_x87;
  fault_entry = cache.executable(thunks.fault);
  struct sigaction action {};
  action.sa_sigaction = on_fault;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
  sigemptyset(&action.sa_mask);
  for (int s : {SIGFPE, SIGSEGV, SIGBUS}) sigaction(s, &action, nullptr);
}

void prepare_thread_for_faults() {
  thread_local bool done = false;
  if (done) return;
  done = true;
  size_t size = std::max<size_t>(getauxval(AT_MINSIGSTKSZ), 16384) + 65536;
  void* m = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
  if (m == MAP_FAILED) return;
  stack_t stack{};
  stack.ss_sp = m;
  stack.ss_size = size;
  sigaltstack(&stack, nullptr);
}

}  // namespace rhea::dbt
