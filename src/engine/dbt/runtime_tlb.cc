// Dropping what was derived from the page tables: access slots, TLB, jump table, fetch entries. General
// registers only.
#include "cpu/paging.h"
#include "engine/dbt/code_cache.h"
#include "engine/dbt/runtime.h"
#include "engine/dbt/runtime_debug.h"

namespace rhea::dbt {

namespace {

void fill(Slot* at, unsigned count) {
  for (unsigned n = 0; n < count; ++n) {
    at[n] = kEmptySlot;
    asm volatile("" ::: "memory");
  }
}

void flush_chunks(Slot* slots, uint8_t* dirty) {
  for (unsigned n = 0; n < kSlots / kSlotChunk; ++n) {
    if (dirty[n] == 0) continue;
    dirty[n] = 0;
    fill(slots + n * kSlotChunk, kSlotChunk);
  }
}

template <class Match>
void drop_slots_if(Slot* slots, const uint8_t* dirty, Match match) {
  for (unsigned n = 0; n < kSlots / kSlotChunk; ++n) {
    if (dirty[n] == 0) continue;
    for (Slot* s = slots + n * kSlotChunk; s != slots + (n + 1) * kSlotChunk; ++s) {
      if (match(*s)) *s = kEmptySlot;
    }
  }
}

void flush_large(AccessBank& b) {
  for (LargeEntry& e : b.large_entry) e.page = ~uint64_t{0};
}

void flush_access_all(AccessBank& b) {
  if (!b.used) return;
  b.used = false;
  flush_chunks(b.read, b.read_dirty);
  flush_chunks(b.write, b.write_dirty);
  if (b.tlb_filled.overflowed()) {
    for (unsigned n = 0; n < kTlbEntries; ++n) b.tlb[n] = no_entry(n);
  } else {
    for (unsigned n = 0; n < b.tlb_filled.count; ++n) {
      unsigned i = b.tlb_filled.index[n] & 0x7fffu;
      b.tlb[i] = no_entry(i);
    }
  }
  b.tlb_filled.count = 0;
  b.has_non_global = false;
  b.pages.clear();
  b.large.clear();
  flush_large(b);
}

// Keeps what came from global pages. An index logged both ways is dropped: it held either.
template <unsigned N, class Drop>
bool drop_non_global(FillLog<N>& log, Drop drop) {
  if (log.overflowed()) return false;
  unsigned kept = 0;
  for (unsigned n = 0; n < log.count; ++n) {
    uint16_t i = log.index[n];
    if ((i & 0x8000) != 0)
      drop(i & 0x7fffu);
    else
      log.index[kept++] = i;
  }
  log.count = kept;
  return true;
}

void flush_access_non_global(AccessBank& b) {
  if (!b.has_non_global) return;
  flush_chunks(b.read, b.read_dirty);
  flush_chunks(b.write, b.write_dirty);
  flush_large(b);
  bool ok = drop_non_global(b.tlb_filled, [&](unsigned i) { b.tlb[i] = no_entry(i); });
  if (!ok) flush_access_all(b);
  b.has_non_global = false;
}

void flush_far(Context& c, Bank bank) {
  if (c.far_filled[bank] == 0) return;
  c.far_filled[bank] = 0;
  unsigned chunks = c.cache->far_chunks();
  for (unsigned first = 0; first < chunks; first += 8) {
    uint64_t eight;
    __builtin_memcpy(&eight, c.far_dirty + first, sizeof eight);
    if (eight == 0) continue;
    for (unsigned n = first; n < first + 8; ++n) {
      if (c.far_dirty[n] == 0 || c.cache->far_chunk_bank(n) != bank) continue;
      c.far_dirty[n] = 0;
      empty_far_chunk(c, n);
    }
  }
}

void flush_jump(Context& c, unsigned bank) {
  flush_far(c, static_cast<Bank>(bank));
  JumpBank& b = c.jump[bank];
  if (b.filled.overflowed()) {
    for (unsigned n = 0; n < kJumpEntries; ++n) {
      b.entry[n].rip = kEmptyRip;
      asm volatile("" ::: "memory");
    }
  } else {
    for (unsigned n = 0; n < b.filled.count; ++n) b.entry[b.filled.index[n]].rip = kEmptyRip;
  }
  b.filled.count = 0;
  b.has_non_global = false;
  b.pages.clear();
}

}  // namespace

void empty_far_chunk(Context& c, unsigned chunk) {
  for (unsigned n = chunk * kFarChunk; n < (chunk + 1) * kFarChunk; ++n) {
    c.far_page[n] = kNoPage;
    asm volatile("" ::: "memory");
  }
}

void flush_everything(Context& c) {
  ++c.counters.flushes;
  for (unsigned b = 0; b < kBanks; ++b) {
    flush_access_all(c.access[b]);
    flush_jump(c, b);
  }
  ++c.fetch_stamp[0];
  ++c.fetch_stamp[1];
  c.large_code.clear();
  c.mode_stale = 1;
}

static void flush_non_global(Context& c) {
  ++c.counters.flushes;
  flush_access_all(c.access[kBankUser]);
  flush_access_all(c.access[kBankKernelAc]);
  flush_access_non_global(c.access[kBankKernel]);
  for (unsigned b = 0; b < kBanks; ++b) {
    if (c.jump[b].has_non_global) flush_jump(c, b);
  }
  ++c.fetch_stamp[0];
}

// One 4 KiB page of one bank.
static void flush_access_page(AccessBank& b, uint64_t page) {
  unsigned n = tlb_index(page);
  if (b.tlb[n].tag[0] == page) b.tlb[n] = no_entry(n);
  auto match = [page](const Slot& slot) { return slot.tag == page; };
  drop_slots_if(b.read, b.read_dirty, match);
  drop_slots_if(b.write, b.write_dirty, match);
}

void hook_flush_tlb(cpu::Core& core, bool including_global) {
  Context& c = context_of(core);
  if (including_global) {
    cpu::paging_flush_all(core);
    flush_everything(c);
  } else {
    cpu::paging_flush_non_global(core, (core.s.cr4 & cpu::cr4::PCIDE) != 0 ? core.s.cr3 & 0xfff : 0);
    flush_non_global(c);
  }
  c.cr3_seen = core.s.cr3;
}

void hook_flush_page(cpu::Core& core, uint64_t linear) {
  Context& c = context_of(core);
  ++c.counters.flushes;
  cpu::paging_flush_page(core, linear);
  uint64_t page = linear & ~kPageMask;
  bool large_code = c.large_code.may_hold(linear);
  for (unsigned b = 0; b < kBanks; ++b) {
    AccessBank& access = c.access[b];
    // Behind a large page are many entries here.
    if (access.large.may_hold(linear))
      flush_access_all(access);
    else if (access.pages.may_hold(linear))
      flush_access_page(access, page);
    JumpBank& j = c.jump[b];
    if (large_code || j.pages.may_hold(linear)) flush_jump(c, b);
    FetchEntry& f = c.fetch[b][(linear >> 12) & (kFetchEntries - 1)];
    if (f.page == page) f.page = kEmptyTag;
  }
  if (large_code) {
    ++c.fetch_stamp[0];
    ++c.fetch_stamp[1];
  }
}

void hook_mode_changed(cpu::Core& core) {
  Context& c = context_of(core);
  c.mode_stale = 1;
  if (core.s.cr3 != c.cr3_seen || core.s.pkru != c.pkru_seen) {
    c.cr3_seen = core.s.cr3;
    c.pkru_seen = core.s.pkru;
    flush_non_global(c);
  }
}

// A bank's tables are zeros until it is used for the first time.
static void prepare_bank(Context& c, Bank bank) {
  if ((c.ready_banks >> bank & 1) != 0) return;
  AccessBank& a = c.access[bank];
  fill(a.read, kSlots);
  fill(a.write, kSlots);
  a.used = true;
  a.tlb_filled.count = ~0u;
  flush_access_all(a);
  c.jump[bank].filled.count = ~0u;
  flush_jump(c, bank);
  c.ready_banks = static_cast<uint8_t>(c.ready_banks | 1u << bank);
}

static void set_jump_mode(Context& c, uint32_t m) {
  Bank bank = bank_of(m);
  if (c.jump[bank].mode == m) return;
  prepare_bank(c, bank);
  flush_jump(c, bank);
  c.jump[bank].mode = m;
}

void refresh_mode(Context& c, bool single) {
  c.mode_stale = single;  // the next block is not, most likely
  uint32_t m = compute_mode(c.core, single, c.control);
  if (debug_armed(c)) m |= mode::kDebug | (c.watching != 0 ? mode::kWatch : 0);
  if (!is64(m)) {
    for (unsigned s = 0; s < 6; ++s) {
      const cpu::Segment& g = c.core.s.seg[s];
      using namespace cpu::attr;
      bool present = (g.attr & (kUnusable | kPresent | kS)) == (kPresent | kS);
      bool code = (g.attr & kCode) != 0;
      bool up = code || (g.attr & kExpandDown) == 0;
      bool readable = present && up && (!code || (g.attr & kReadable) != 0);
      bool writable = present && up && !code && (g.attr & kWritable) != 0;
      uint64_t end = uint64_t{g.limit} + 1;
      c.segment_end[0][s] = readable ? end : 0;
      c.segment_end[1][s] = writable ? end : 0;
    }
  }
  if (m == c.mode) return;
  c.mode = m;
  c.bank = bank_of(m);
  prepare_bank(c, bank_of(m));
  if (single) return;
  set_jump_mode(c, m);
  // Translated STAC and CLAC go from one to the other by themselves.
  if ((m & mode::kSmap) != 0 && (m & mode::kCplMask) != 3) set_jump_mode(c, m ^ mode::kSmapAc);
}

void jump_insert(Context& c, uint64_t rip, const uint8_t* host) {
  JumpBank& b = c.jump[c.bank];
  unsigned n = jump_index(rip);
  b.entry[n] = {rip, host};
  b.filled.add(n);
  b.pages.add(rip);
}

void jump_page(Context& c, uint64_t rip) {
  c.jump[c.bank].pages.add(rip);
}

// Entries that come from global pages outlive a CR3 load in the kernel's bank.
void fill_tlb(Context& c, bool write, uint64_t linear, const Slot& entry, const cpu::Translation& t) {
  AccessBank& bank = c.access[c.bank];
  unsigned n = tlb_index(linear);
  TlbEntry& known = bank.tlb[n];
  if (known.host == 0 || !t.global) bank.tlb_filled.add(t.global ? n : n | 0x8000);
  // What may be written may be read.
  known = {{entry.tag, write ? entry.tag : no_tag(n)}, entry.delta, entry.tag + entry.delta};
  if (t.page_bytes > kPageSize) bank.large.note(linear, t.page_bytes);
  bank.used = true;
  bank.pages.add(linear);
  if (!t.global) bank.has_non_global = true;
}

void drop_write_entries(Context& c, const uint8_t* host_page) {
  ++c.write_drops;
  auto host = reinterpret_cast<uint64_t>(host_page);
  auto match = [host](const Slot& slot) { return slot.tag + slot.delta == host; };
  for (AccessBank& bank : c.access) {
    drop_slots_if(bank.write, bank.write_dirty, match);
    if (bank.tlb_filled.overflowed()) {
      for (unsigned n = 0; n < kTlbEntries; ++n) {
        if (bank.tlb[n].host == host) bank.tlb[n].tag[1] = no_tag(n);
      }
      continue;
    }
    for (unsigned n = 0; n < bank.tlb_filled.count; ++n) {
      unsigned i = bank.tlb_filled.index[n] & 0x7fffu;
      if (bank.tlb[i].host == host) bank.tlb[i].tag[1] = no_tag(i);
    }
  }
}

}  // namespace rhea::dbt
