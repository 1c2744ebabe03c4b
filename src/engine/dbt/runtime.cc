// The dispatcher and what translated code's exits come to: pending work, block lookup, helpers, faults.
// General registers only; whatever needs ordinary C++ goes through run_cold.
#include "engine/dbt/runtime.h"

#include <Zydis/Mnemonic.h>

#include "cpu/control_transfer.h"
#include "cpu/engine.h"
#include "cpu/paging.h"
#include "cpu/paging_tlb.h"
#include "engine/dbt/code_cache.h"
#include "engine/dbt/diagnose.h"
#include "engine/dbt/forms.h"
#include "engine/dbt/runtime_debug.h"

namespace rhea::dbt {

namespace {

namespace pend = cpu::pending;

const uint8_t* leave(Context& c, cpu::Exit why) {
  c.exit_reason = static_cast<uint8_t>(static_cast<uint8_t>(why) + 1);
  return nullptr;
}

// Every fault that is delivered goes through here.
bool deliver_recorded_fault(Context& c) {
  forget_watch(c);
  ++c.counters.exceptions;
  if (c.log_int != 0) {
    const cpu::Fault& f = c.core.fault;
    EventRecord r{&c, "exception", f.vector, f.has_code ? f.code : 0, f.address};
    run_cold(c.core, cold_log_event, &r);
  }
  if (c.core.fault.vector == cpu::vec::MF && (c.core.s.cr0 & cpu::cr0::NE) == 0 &&
      c.core.x87_error != nullptr) {
    // The instruction waits for an interrupt, the one that this brings or another (SDM vol. 1 8.7.2).
    run_cold(c.core, c.core.x87_error, c.core.board);
    c.core.s.halted = 1;
    return true;
  }
  if (cpu::deliver_fault(c.core)) return true;
  leave(c, cpu::Exit::TripleFault);
  return false;
}

const uint8_t* leave_debug(Context& c, cpu::DebugHit::Kind why) {
  c.debug_exit = static_cast<uint8_t>(why);
  return leave(c, cpu::Exit::Debug);
}

// The step that a single-instruction block was for is over: trap if TF was set when it began, or data points
// were hit.
bool finish_single(Context& c) {
  c.single_ran = 0;
  bool watched = c.debugger_hit != 0;
  // MOV SS and POP SS make no trap of their own; their data points are reported with the next instruction.
  bool held =
      c.core.s.interrupt_shadow != 0 && c.core.s.shadow_is_mov_ss != 0 && c.debugger_step == 0 && !watched;
  if (held) {
    c.trap_after_single = 0;
    return true;
  }
  uint64_t dr6 = c.guest_hits | (c.trap_after_single != 0 ? 0x4000u : 0u);
  c.trap_after_single = 0;
  forget_watch(c);
  if (dr6 != 0) {
    c.core.fault = {.vector = cpu::vec::DB, .has_code = false, .code = 0, .address = 0, .dr6 = dr6};
    if (!deliver_recorded_fault(c)) return false;
  }
  if (watched || c.debugger_step != 0) {
    leave_debug(c, watched ? cpu::DebugHit::Kind::Watch : cpu::DebugHit::Kind::Step);
    return false;
  }
  return true;
}

bool deliver_event(Context& c, cpu::Event e) {
  ++c.counters.interrupts;
  c.core.s.halted = 0;
  note_heat(c);
  if (c.log_int != 0) {
    EventRecord r{&c, "interrupt", e.vector, 0, 0};
    run_cold(c.core, cold_log_event, &r);
  }
  if (cpu::deliver(c.core, e)) return true;
  leave(c, cpu::Exit::TripleFault);
  return false;
}

// Where the page of `linear` is, for instruction fetch. False: fault recorded. f.ram is null outside RAM.
bool fetch_page(Context& c, uint64_t linear, FetchEntry*& out) {
  FetchEntry& f = c.fetch[c.bank][(linear >> 12) & (kFetchEntries - 1)];
  out = &f;
  uint64_t page = linear & ~kPageMask;
  if (f.page == page && f.stamp == c.fetch_stamp[f.global]) return true;
  cpu::Translation t;
  if (!cpu::translate(c.core, linear, cpu::Access::Fetch, cpu::current_privilege(c.core), t)) return false;
  if (t.page_bytes > kPageSize) c.large_code.note(linear, t.page_bytes);
  uint64_t gpa = t.gpa & ~kPageMask;
  const memory::FlatRange* range = cpu::find_range(c.core, gpa);
  if (range == nullptr || range->ram == nullptr || gpa + kPageSize > range->start + range->size) {
    f = {kEmptyTag, nullptr, 0, 0, 0, false};
    return true;
  }
  uint64_t offset = range->offset + (gpa - range->start);
  f = {page, range->ram, offset, place_key(*range->ram, offset), c.fetch_stamp[t.global], t.global};
  return true;
}

uint64_t next_page(const Context& c, uint64_t linear) {
  uint64_t next = (linear & ~kPageMask) + kPageSize;
  return is64(c.mode) ? next : next & 0xffffffff;
}

// A block from this place, whose second page (if any) is where it was when the block was made.
Block* find_block(Context& c, const FetchEntry& f, uint64_t linear, uint32_t block_mode, bool& fault) {
  uint64_t offset = f.offset + (linear & kPageMask);
  memory::RamBlock* ram = f.ram;
  Block* b = c.cache->find(*ram, offset, block_mode);
  if (b == nullptr || !b->crossing) return b;
  FetchEntry* second = nullptr;
  if (!fetch_page(c, next_page(c, linear), second)) {
    fault = true;
    return nullptr;
  }
  if (second->page != kEmptyTag && b->goes_on_at(second->ram, second->offset)) return b;
  TranslateRequest drop{&c, ram, offset, linear, block_mode, b, false};
  run_cold(c.core, cold_drop_block, &drop);
  return nullptr;
}

// Deterministic runs: how many instructions may still begin.
uint64_t allowance(const Context& c) {
  return c.core.counts_time ? c.core.retired_stop - c.core.retired : ~uint64_t{0};
}
// Below this a block has to be looked at before it is entered.
constexpr uint64_t kPlenty = 512;

// Lets translated code find the block by itself next time.
void note_jump(Context& c, bool global, uint64_t rip, const uint8_t* host) {
  if ((c.mode & (mode::kFlatCs | mode::kDebug)) != mode::kFlatCs) return;
  jump_insert(c, rip, host);
  if (!global) c.jump[c.bank].has_non_global = true;
}

// The same for a block whose instruction goes on in another page, which find_block or the translator has just
// looked up.
void note_crossing_jump(Context& c, bool global, uint64_t rip, const uint8_t* host) {
  FetchEntry* second = nullptr;
  if (!is64(c.mode) || !fetch_page(c, next_page(c, rip), second)) return;
  note_jump(c, global && second->global, rip, host);
  jump_page(c, next_page(c, rip));
}

// The page's entry in the fetch table while it holds: no walk.
const FetchEntry* known_page(const Context& c, uint64_t linear) {
  const FetchEntry& f = c.fetch[c.bank][(linear >> 12) & (kFetchEntries - 1)];
  return f.page == (linear & ~kPageMask) && f.stamp == c.fetch_stamp[f.global] ? &f : nullptr;
}

// In the front table.
const uint8_t* find_in_front(Context& c, uint64_t linear, uint32_t block_mode) {
  const FetchEntry* f = known_page(c, linear);
  if (f == nullptr) return nullptr;
  uint64_t place = f->place + (linear & kPageMask);
  const FrontEntry& e = c.front[front_index(place, block_mode)];
  uint32_t at = e.host;
  if (e.place != place || (e.mode & ~FrontEntry::kCrossing) != block_mode || at == 0) return nullptr;
  ++c.counters.lookups;
  bool grouped = (block_mode & mode::kUngrouped) == 0;
  const uint8_t* host = c.cache->executable_start() + at;
  if ((e.mode & FrontEntry::kCrossing) != 0) [[unlikely]] {
    const Block* b = c.cache->find(*f->ram, f->offset + (linear & kPageMask), block_mode);
    const FetchEntry* second = known_page(c, next_page(c, linear));
    if (b == nullptr || second == nullptr || !b->goes_on_at(second->ram, second->offset)) return nullptr;
    if (grouped) note_crossing_jump(c, f->global, linear, host);
  } else if (grouped) {
    note_jump(c, f->global, linear, host);  // flat CS: linear is rip
  }
  return host;
}

// The short way: nothing is pending, nothing goes by single instructions, and the block is known. Null: the
// long way.
const uint8_t* find_quick(Context& c) {
  cpu::Core& core = c.core;
  constexpr uint32_t kLong = mode::kSingle | mode::kDebug, kFlat = mode::kFlatCs;
  if (c.quick_on == 0 || allowance(c) < kPlenty || core.pending.load(std::memory_order_acquire) != 0)
    return nullptr;
  if ((c.single_ran | c.debugger_step | c.ungrouped_once | c.single_once | core.s.interrupt_shadow |
       core.s.halted) != 0)
    return nullptr;
  if ((c.irq_deferred & core.s.interrupt_flag) != 0 || (core.s.system_flags & cpu::rflags::TF) != 0)
    return nullptr;
  if (c.mode_stale != 0) refresh_mode(c, false);
  if ((c.mode & (kLong | kFlat)) != kFlat || (c.mode & mode::kCodeMask) == mode::kCode16) return nullptr;
  uint64_t rip = mask_rip(c, core.s.rip);
  const JumpEntry& known = c.jump[c.bank].entry[jump_index(rip)];
  return known.rip == rip ? known.host : find_in_front(c, rip, c.mode);
}

// Whether the instruction pointer is beyond CS, and whether the page needs single steps because CS ends
// within it.
bool check_code_limit(Context& c, bool& single) {
  const cpu::Segment& cs = c.core.s.seg[cpu::CS];
  uint64_t rip = c.core.s.rip;
  if (rip > cs.limit) return c.core.raise(cpu::vec::GP, 0);
  uint64_t in_page = (cs.base + rip) & kPageMask;
  if (rip < in_page || rip - in_page + kPageMask > cs.limit) single = true;
  return true;
}

// A debugger's step executes the instruction that it sees, not the first one of an interrupt handler: what
// waits is served when the guest runs on.
void hold_interrupts(Context& c, uint32_t pending) {
  if ((pending & pend::kInterrupt) != 0) c.irq_deferred = 1;
  c.core.pending.fetch_and(~(pend::kInterrupt | pend::kTimer | pend::kShadow));
}

}  // namespace

void run_cold(const cpu::Core& core, void (*fn)(void*), void* arg) {
  core.cold(fn, arg);
}

bool serve_pending(Context& c) {
  cpu::Core& core = c.core;
  uint32_t p = core.pending.load(std::memory_order_acquire);
  if ((p & pend::kExit) != 0) {
    core.pending.fetch_and(~pend::kExit);
    leave(c, cpu::Exit::Kicked);
    return false;
  }
  if ((p & pend::kEngine) != 0) {
    core.pending.fetch_and(~pend::kEngine);
    run_cold(core, cold_safepoint, &c);
  }
  if ((p & pend::kTlbFlush) != 0) {
    core.pending.fetch_and(~pend::kTlbFlush);
    run_cold(core, cold_memory_changed, &c);
    flush_everything(c);
  }
  if ((p & pend::kInit) != 0) {
    core.pending.fetch_and(~pend::kInit);
    cpu::reset_core(core, false);
    if (core.apic != nullptr) core.apic->init();
    if (core.index != 0) core.s.halted = core.s.wait_for_sipi = 1;
  }
  if ((p & pend::kSipi) != 0) {
    core.pending.fetch_and(~pend::kSipi);
    if (core.s.wait_for_sipi != 0) {
      core.s.wait_for_sipi = core.s.halted = 0;
      cpu::Segment& cs = core.s.seg[cpu::CS];
      cs.selector = static_cast<uint16_t>(core.sipi_vector << 8);
      cs.base = static_cast<uint64_t>(core.sipi_vector) << 12;
      core.s.rip = 0;
    }
  }
  if (core.s.wait_for_sipi != 0) return true;
  if (c.debugger_step != 0 && core.s.halted == 0) {
    hold_interrupts(c, p);
    return true;
  }
  if ((p & pend::kSmi) != 0 && core.s.in_smm == 0) {
    core.pending.fetch_and(~pend::kSmi);
    core.s.halted = 0;
    cpu::enter_smm(core);
  }
  if ((p & pend::kNmi) != 0 && core.s.nmi_blocked == 0) {
    core.pending.fetch_and(~pend::kNmi);
    core.s.nmi_blocked = 1;
    if (!deliver_event(c, {cpu::EventKind::External, cpu::vec::NMI, false, 0, core.s.rip})) return false;
  }
  if ((p & pend::kTimer) != 0) core.pending.fetch_and(~pend::kTimer);
  if ((p & pend::kShadow) != 0) core.pending.fetch_and(~pend::kShadow);
  if ((p & pend::kInterrupt) == 0 && c.irq_deferred == 0) return true;
  core.pending.fetch_and(~pend::kInterrupt);
  if (core.s.interrupt_flag == 0) {
    c.irq_deferred = 1;
    return true;
  }
  c.irq_deferred = 0;
  if (core.apic == nullptr || !core.apic->deliverable()) return true;
  int vector = core.apic->acknowledge();
  c.irq_deferred = 1;  // another may be waiting
  if (vector < 0) return true;
  return deliver_event(c, {cpu::EventKind::External, static_cast<uint8_t>(vector), false, 0, core.s.rip});
}

const uint8_t* dispatch(Context& c) {
  if (const uint8_t* host = find_quick(c)) return host;
  cpu::Core& core = c.core;
  for (;;) {
    if (c.single_ran != 0 && !finish_single(c)) return nullptr;
    if (allowance(c) == 0) return leave(c, cpu::Exit::Kicked);
    bool shadow = core.s.interrupt_shadow != 0;
    if (!shadow && (core.pending.load(std::memory_order_acquire) != 0 || c.irq_deferred != 0) &&
        !serve_pending(c)) {
      return nullptr;
    }
    if (core.s.halted != 0) return leave(c, cpu::Exit::Halted);
    bool trap = (core.s.system_flags & cpu::rflags::TF) != 0;
    bool single = shadow || trap || c.debugger_step != 0 || c.always_single != 0 || c.single_once != 0;
    c.single_once = 0;
    refresh_mode(c, single);
    bool ok = true;
    if ((c.mode & mode::kFlatCs) == 0) {
      core.s.rip = mask_rip(c, core.s.rip);
      bool was = single;
      ok = check_code_limit(c, single);
      if (single != was) refresh_mode(c, single);
    }
    uint64_t rip = core.s.rip = mask_rip(c, core.s.rip);
    uint64_t linear = is64(c.mode) ? rip : (core.s.seg[cpu::CS].base + rip) & 0xffffffff;
    if (debug_armed(c)) [[unlikely]] {
      if (arm_debug(c, linear)) single = true;
      refresh_mode(c, single);
      CodePoint point = ok ? hit_code_point(c, linear) : CodePoint::None;
      if (point == CodePoint::Debugger) return leave_debug(c, cpu::DebugHit::Kind::Execute);
      if (point == CodePoint::Guest) ok = false;
    }
    bool ungrouped = c.ungrouped_once != 0;
    c.ungrouped_once = 0;
    uint32_t block_mode = ungrouped ? c.mode | mode::kUngrouped : c.mode;
    FetchEntry* f = nullptr;
    bool fault = !ok || !fetch_page(c, linear, f);
    Block* b = nullptr;
    bool global = !fault && f->global;
    if (!fault) {
      bool in_ram = f->page != kEmptyTag;
      if (in_ram && !single && c.log_exec == 0 && allowance(c) >= kPlenty) {
        if (const uint8_t* host = find_in_front(c, linear, block_mode)) return host;
      }
      if (in_ram) b = find_block(c, *f, linear, block_mode, fault);
      if (b == nullptr && !fault) {
        uint64_t place = in_ram ? f->offset + (linear & kPageMask) : 0;
        TranslateRequest request{&c, in_ram ? f->ram : nullptr, place, linear, block_mode, nullptr, false};
        run_cold(core, cold_translate, &request);
        fault = request.faulted;
        b = request.result;
        if (b == nullptr && !fault) continue;
      }
    }
    // An instruction that goes on beyond CS's limit does not begin; it is alone in its block.
    if (!fault && (c.mode & mode::kFlatCs) == 0 && rip + b->guest_bytes - 1 > core.s.seg[cpu::CS].limit)
      fault = !core.raise(cpu::vec::GP, 0);
    if (fault) {
      if (!deliver_recorded_fault(c)) return nullptr;
      continue;
    }
    if (!single && b->insns > allowance(c)) {
      c.single_once = 1;
      continue;
    }
    ++c.counters.lookups;
    if (c.log_exec != 0) run_cold(core, cold_log_exec, &c);
    const uint8_t* host = c.cache->executable(b->dispatched());
    if (single) {
      core.s.interrupt_shadow = core.s.shadow_is_mov_ss = 0;
      core.s.system_flags &= ~static_cast<uint32_t>(cpu::rflags::RF);  // it covers this one instruction
      c.single_ran = 1;
      c.trap_after_single = trap;
    } else if (b->ram != nullptr) {
      uint64_t place = place_key(*b->ram, b->offset);
      c.front[front_index(place, block_mode)] = {place,
                                                 static_cast<uint32_t>(host - c.cache->executable_start()),
                                                 block_mode | (b->crossing ? FrontEntry::kCrossing : 0)};
      if (ungrouped) return host;
      b->crossing ? note_crossing_jump(c, global, rip, host) : note_jump(c, global, rip, host);
    }
    return host;
  }
}

const uint8_t* deliver_and_dispatch(Context& c) {
  c.single_ran = c.trap_after_single = 0;
  if (!deliver_recorded_fault(c)) return nullptr;
  return dispatch(c);
}

// What a helper's outcome comes to; s.rip is where the vCPU stands.
static const uint8_t* after_helper(Context& c, Outcome outcome) {
  switch (outcome) {
    case Outcome::Fault: return deliver_and_dispatch(c);
    case Outcome::Exit:
      if (c.single_ran != 0) c.single_ran = 0;
      if (c.core.s.halted != 0 && serve_pending(c) && c.core.s.halted == 0) return dispatch(c);
      return c.exit_reason != 0 ? nullptr
                                : leave(c, c.core.s.halted != 0 ? cpu::Exit::Halted : cpu::Exit::Kicked);
    default: return dispatch(c);
  }
}

static Outcome run_helper(Context& c, const Insn& insn) {
  ++c.counters.helper_calls;
  c.core.s.rip = mask_rip(c, c.rip_page + insn.page_offset);
  if (insn.form->action != Action::HelpFull) return insn.form->helper(c.core, insn);
  HelperRequest request{&c, &insn, 0};
  run_cold(c.core, cold_helper, &request);
  return static_cast<Outcome>(request.outcome);
}

extern "C" Answer runtime_help(Context* context, const Insn* insn) {
  Context& c = *context;
  uint64_t epoch = c.cache->drop_epoch(), flushes = c.counters.flushes;
  Outcome outcome = run_helper(c, *insn);
  if (outcome == Outcome::Continue) {
    constexpr uint32_t kNow = pend::kTlbFlush | pend::kExit | pend::kEngine | pend::kSmi | pend::kInit;
    uint32_t now = c.core.counts_time ? ~0u : kNow;  // what an instruction brings about comes right behind it
    // With the mappings go the expected returns, in the dispatcher.
    if (epoch == c.cache->drop_epoch() && flushes == c.counters.flushes &&
        (c.core.pending.load(std::memory_order_relaxed) & now) == 0)
      return {0, 0};
    c.core.s.rip = mask_rip(c, c.rip_page + insn->page_offset + insn->length);
  }
  return {reinterpret_cast<uint64_t>(after_helper(c, outcome)), 2};
}

extern "C" const uint8_t* runtime_help_end(Context* context, const Insn* insn) {
  Context& c = *context;
  Outcome outcome = run_helper(c, *insn);
  if (outcome == Outcome::Continue) c.core.s.rip = mask_rip(c, c.rip_page + insn->page_offset + insn->length);
  // SYSCALL traps by the flags it leaves: IA32_FMASK usually clears TF.
  if (insn->mnemonic == ZYDIS_MNEMONIC_SYSCALL && (c.core.s.system_flags & cpu::rflags::TF) == 0)
    c.trap_after_single = 0;
  // Software interrupts clear TF before the trap after the instruction is looked for (SDM vol. 3A 6.12.1.4).
  bool interrupts =
      insn->map == 0 && ((insn->opcode >= 0xcc && insn->opcode <= 0xce) || insn->opcode == 0xf1);
  if (interrupts && outcome == Outcome::Jump) c.trap_after_single = 0;
  // SYSCALL traps only if IA32_FMASK leaves TF alone, SYSRET at once when it sets TF.
  bool fast_call = insn->map == 1 && (insn->opcode == 0x05 || insn->opcode == 0x07);
  if (fast_call && outcome == Outcome::Jump) {
    bool tf = (c.core.s.system_flags & cpu::rflags::TF) != 0;
    if (insn->opcode == 0x05) c.trap_after_single = c.trap_after_single != 0 && tf;
    if (insn->opcode == 0x07 && tf) c.single_ran = c.trap_after_single = 1;
  }
  return after_helper(c, outcome);
}

extern "C" const uint8_t* runtime_poll(Context* context, LinkSite* site) {
  Context& c = *context;
  c.core.s.rip = mask_target(c, c.rip_page + static_cast<uint32_t>(site->target_offset));
  return dispatch(c);
}

static void link_to(Context& c, LinkSite* site, Block* to) {
  if (to->crossing) {
    site->to_host = kByTable;
    return;
  }
  LinkRequest request{&c, site, to};
  run_cold(c.core, cold_link, &request);
}

extern "C" const uint8_t* runtime_link(Context* context, LinkSite* site) {
  Context& c = *context;
  c.core.s.rip = mask_target(c, c.rip_page + static_cast<uint32_t>(site->target_offset));
  const memory::RamBlock* ram = site->from->ram;
  uint64_t offset = (site->from->offset & ~kPageMask) + static_cast<uint32_t>(site->target_offset),
           resets = c.cache->resets();
  uint32_t mode = site->mode;
  const uint8_t* host = dispatch(c);
  if (ram == nullptr || resets != c.cache->resets() || (mode & (mode::kSingle | mode::kDebug)) != 0 ||
      host == nullptr || c.link_on == 0) {
    return host;
  }
  Block* to = c.cache->find(*ram, offset, mode);
  // Only when the dispatcher went there: an interrupt or a fault may have come first.
  if (to == nullptr || c.cache->executable(to->dispatched()) != host) return host;
  link_to(c, site, to);
  return host;
}

// The target's place, once the dispatcher has been there; it is in the jump table then, from where the thunk
// fills the link's slot the next time.
static const uint8_t* link_by_rip(Context& c, LinkSite* site) {
  uint64_t rip = c.core.s.rip;
  uint64_t resets = c.cache->resets();
  uint32_t mode = site->from->mode & ~mode::kUngrouped;
  const uint8_t* host = dispatch(c);
  if (host == nullptr || resets != c.cache->resets() || c.link_on == 0 || c.mode != mode ||
      c.core.s.rip != rip || site->to != nullptr)
    return host;
  const FetchEntry& f = c.fetch[c.bank][(rip >> 12) & (kFetchEntries - 1)];
  if (f.page != (rip & ~kPageMask) || f.ram == nullptr || f.stamp != c.fetch_stamp[f.global]) return host;
  Block* to = c.cache->find(*f.ram, f.offset + (rip & kPageMask), mode);
  if (to == nullptr || c.cache->executable(to->dispatched()) != host) return host;
  if (site->predicted) {
    constexpr uint8_t kEnough = 4;
    auto seen = static_cast<int32_t>(reinterpret_cast<uintptr_t>(host));
    if (site->target_offset != seen) site->seen_times = 0;
    site->target_offset = seen;
    if (site->seen_times < kEnough && ++site->seen_times < kEnough) return host;
  }
  link_to(c, site, to);
  return host;
}

extern "C" const uint8_t* runtime_link_far(Context* context, LinkSite* site) {
  Context& c = *context;
  c.core.s.rip = mask_rip(c, c.rip_page + static_cast<uint64_t>(int64_t{site->target_offset}));
  return link_by_rip(c, site);
}

extern "C" const uint8_t* runtime_predicted(Context* context, LinkSite* site) {
  return link_by_rip(*context, site);
}

extern "C" const uint8_t* runtime_quick(Context* context) {
  return find_quick(*context);
}

extern "C" const uint8_t* runtime_lookup(Context* context) {
  return dispatch(*context);
}

extern "C" const uint8_t* runtime_dropped(Context* context, const uint8_t* direct_entry) {
  Context& c = *context;
  DroppedRequest request{&c, direct_entry, 0};
  run_cold(c.core, cold_dropped_offset, &request);
  c.core.s.rip = mask_rip(c, c.rip_page + request.page_offset);
  c.jump[c.bank].entry[jump_index(c.core.s.rip)].rip = kEmptyRip;
  return dispatch(c);
}

extern "C" const uint8_t* runtime_fault(Context* context) {
  Context& c = *context;
  c.core.s.rip = mask_rip(c, c.rip_page + c.signal_page_offset);
  auto vector = static_cast<uint8_t>(c.signal_vector);
  if (vector == cpu::vec::XM && (c.core.s.cr4 & cpu::cr4::OSXMMEXCPT) == 0) vector = cpu::vec::UD;
  bool has_code = vector == cpu::vec::GP || vector == cpu::vec::AC || vector == cpu::vec::SS;
  static_cast<void>(has_code ? c.core.raise(vector, 0) : c.core.raise(vector));
  return deliver_and_dispatch(c);
}

}  // namespace rhea::dbt
