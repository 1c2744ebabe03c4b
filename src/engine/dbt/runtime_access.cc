// The slow side of a guest memory access: TLB, page walk, accesses that cross pages, touch devices or write
// to code. General registers only.
#include "cpu/control_transfer.h"
#include "cpu/paging.h"
#include "cpu/paging_tlb.h"
#include "cpu/segmentation.h"
#include "engine/dbt/code_cache.h"
#include "engine/dbt/runtime.h"
#include "engine/dbt/runtime_debug.h"

namespace rhea::dbt {

namespace {

Answer fault(Context& c) {
  return {reinterpret_cast<uint64_t>(deliver_and_dispatch(c)), 2};
}

void fill_slot(Context& c, const AccessSite& site, bool write, const Slot& entry) {
  if ((site.flags & AccessSite::kNoFill) != 0) return;
  AccessBank& bank = c.access[c.bank];
  (write ? bank.write : bank.read)[site.slot] = entry;
  (write ? bank.write_dirty : bank.read_dirty)[site.slot / kSlotChunk] = 1;
}

// A page that is part of a large one which has been looked up lately.
bool from_large(Context& c, uint64_t linear, bool write, Slot& found) {
  const LargeEntry& e = c.access[c.bank].large_entry[(linear >> LargeEntry::kShift) % kLargeEntries];
  if (e.page != linear >> LargeEntry::kShift) return false;
  if (write && (!e.writable || e.ram->page_has_code((linear + e.ram_delta) / kPageSize))) return false;
  found = {linear & ~kPageMask, e.delta};
  cpu::Translation t{};
  t.page_bytes = LargeEntry::kBytes;
  t.global = e.global;
  fill_tlb(c, write, linear, found, t);
  return true;
}

void keep_large(Context& c, uint64_t linear, const cpu::Translation& t, const memory::FlatRange& range,
                uint64_t delta) {
  uint64_t first = linear & ~(LargeEntry::kBytes - 1), gpa = t.gpa - (linear - first);
  bool whole = gpa >= range.start && range.end() - gpa >= LargeEntry::kBytes && gpa <= range.end();
  if (c.large_on == 0 || t.page_bytes < LargeEntry::kBytes || !whole || c.core.s.a20_masked != 0) return;
  c.access[c.bank].large_entry[(linear >> LargeEntry::kShift) % kLargeEntries] = {
      linear >> LargeEntry::kShift,
      delta,
      range.ram,
      range.offset + (t.gpa - range.start) - linear,
      t.global,
      t.write_ok && range.access != memory::RamAccess::ReadOnly};
}

// What #AC demands, measured: the operand's size, of vectors 16 bytes at most, of x87's ten bytes eight.
bool misaligned(uint64_t linear, unsigned size) {
  unsigned alignment = size == 10 ? 8 : size > 16 ? 16 : size;
  return (alignment & (alignment - 1)) == 0 && (linear & (alignment - 1)) != 0;
}

// The guest's x87 state is the host's.
bool x87_exception_pending() {
  uint16_t status;
  asm volatile("fnstsw %0" : "=a"(status));
  return (status & 0x80) != 0;
}

// An unmasked exception other than precision keeps an x87 instruction from storing (SDM vol. 1, 8.5); since
// none was pending before a store in a buffer, such a one is that store's.
bool x87_store_suppressed() {
  uint16_t status, control;
  asm volatile("fnstsw %0" : "=a"(status));
  asm volatile("fnstcw %0" : "=m"(control));
  return (status & ~control & 0x1f) != 0;
}

bool stack_access(const AccessSite& site) {
  return (site.flags & AccessSite::kStack) != 0;
}

// MXCSR.MM (APM vol. 2, 11.3.1) lifts the alignment rules of legacy SSE; the instruction itself then knows
// which.
bool misalignment_allowed() {
  uint32_t mxcsr;
  asm volatile("stmxcsr %0" : "=m"(mxcsr));
  return (mxcsr & 0x20000) != 0;
}

// The site cannot serve this access: a group that is not in one page of RAM, a store that needs an
// alternative path where none was made. The careful variant of the rest of the block runs once. A block where
// that keeps happening is translated anew, without groups or with alternative paths.
Answer ungroup(Context& c, const AccessSite* site) {
  constexpr uint8_t kPatience = 64;
  auto* failures = &const_cast<AccessSite*>(reinterpret_cast<const AccessSite*>(
                                                c.cache->writable(reinterpret_cast<const uint8_t*>(site))))
                        ->failures;
  if (*failures < kPatience && ++*failures == kPatience) {
    SiteRequest request{&c, site};
    run_cold(c.core, cold_concede, &request);
  }
  c.ungrouped_once = 1;
  --c.core.retired;  // it begins again
  return {reinterpret_cast<uint64_t>(dispatch(c)), 2};
}

// Nobody else runs until cold_lock_end. False: the instruction must begin anew, since meanwhile the cache was
// reset and the code that called is gone, or write entries were dropped that its block's groups still hold.
bool stop_others(Context& c) {
  uint64_t resets = c.cache->resets();
  uint32_t drops = c.write_drops;
  run_cold(c.core, cold_lock_begin, &c);
  if (resets == c.cache->resets() && drops == c.write_drops) return true;
  run_cold(c.core, cold_lock_end, &c);
  return false;
}

// Through a buffer: crossing accesses and devices. The buffer keeps the offset in the page, so alignment
// faults of the instruction itself stay exact.
Answer bounced(Context& c, uint64_t linear, const AccessSite& site, const AccessSite* at_site) {
  cpu::Core& core = c.core;
  bool write = (site.flags & AccessSite::kWrite) != 0;
  if ((site.flags & AccessSite::kGroup) != 0 || (write && site.alt == 0)) return ungroup(c, at_site);
  bool stack = (site.flags & AccessSite::kStack) != 0;
  uint8_t* at = c.bounce + (linear & kPageMask);
  auto privilege = cpu::current_privilege(core);
  bool locked = (site.flags & AccessSite::kLocked) != 0;
  if (locked && !stop_others(c)) {
    --core.retired;  // it begins again
    return {reinterpret_cast<uint64_t>(dispatch(c)), 2};
  }
  if ((write && !cpu::probe_write(core, linear, site.size(), privilege, stack)) ||
      ((site.flags & AccessSite::kRead) != 0 &&
       !cpu::read_linear(core, linear, at, site.size(), privilege, stack))) {
    if (locked) run_cold(core, cold_lock_end, &c);
    return fault(c);
  }
  uint64_t delta = reinterpret_cast<uint64_t>(at) - linear;
  if (!write) return {delta, 0};
  c.store = {linear, site.size(), locked, 1, nullptr, 0};
  return {delta, 1};
}

}  // namespace

extern "C" Answer runtime_access(Context* context, uint64_t linear, const AccessSite* site_pointer) {
  Context& c = *context;
  const AccessSite site = *site_pointer;
  ++c.counters.access_misses;
  bool write = (site.flags & AccessSite::kWrite) != 0;
  AccessBank& bank = c.access[c.bank];
  uint64_t page = linear & ~kPageMask;
  unsigned in_page = static_cast<unsigned>(linear & kPageMask);
  bool checked = (c.mode & (mode::kAlignCheck | mode::kWatch)) != 0;
  bool inside = in_page + site.size() <= kPageSize, grouped = (site.flags & AccessSite::kGroup) != 0;
  const TlbEntry& known = bank.tlb[tlb_index(linear)];
  if (known.tag[write ? 1 : 0] == page && inside && !checked) {
    fill_slot(c, site, write, {page, known.delta});
    return {known.delta, 0};
  }
  if (Slot part; inside && !checked && from_large(c, linear, write, part)) {
    fill_slot(c, site, write, part);
    return {part.delta, 0};
  }
  cpu::Core& core = c.core;
  core.s.rip = mask_rip(c, c.rip_page + site.page_offset());
  if ((c.mode & mode::kWatch) != 0)
    watch_access(c, linear, site.size(), (site.flags & AccessSite::kRead) != 0, write);
  if (!grouped && (site.flags & AccessSite::kAligned) != 0 && (linear & (site.size() - 1u)) != 0 &&
      !misalignment_allowed()) {
    static_cast<void>(core.raise(cpu::vec::GP, 0));
    return fault(c);
  }
  if ((site.flags & AccessSite::kWaits) != 0 && x87_exception_pending()) {
    static_cast<void>(core.raise(cpu::vec::MF));
    return fault(c);
  }
  // A flat segment outside 64-bit mode ends at 4 GiB.
  bool ends = (c.mode & (stack_access(site) ? mode::kFlatSs : mode::kFlatDs)) != 0;
  if (!grouped && !is64(c.mode) && ends && linear + site.size() > uint64_t{1} << 32) {
    static_cast<void>(core.raise(stack_access(site) ? cpu::vec::SS : cpu::vec::GP, 0));
    return fault(c);
  }
  // Before the pages are looked at, behind everything else (measured).
  if ((c.mode & mode::kAlignCheck) != 0 && misaligned(linear, site.size()) &&
      (!is64(c.mode) || cpu::canonical(core, linear))) {
    static_cast<void>(core.raise(cpu::vec::AC, 0));
    return fault(c);
  }
  if (!inside) return bounced(c, linear, site, site_pointer);
  cpu::Translation t;
  if (!cpu::translate(core, linear, write ? cpu::Access::Write : cpu::Access::Read,
                      cpu::current_privilege(core), t, (site.flags & AccessSite::kStack) != 0)) {
    return grouped ? ungroup(c, site_pointer)
                   : fault(c);  // the fault's address is that of the access, not of the group
  }
  const memory::FlatRange* range = nullptr;
  uint8_t* host = cpu::host_pointer(core, t.gpa, site.size(), range);
  if (host == nullptr || (write && range->access == memory::RamAccess::ReadOnly)) {
    return bounced(c, linear, site, site_pointer);
  }
  uint64_t delta = reinterpret_cast<uint64_t>(host) - linear;
  if (write) {
    uint64_t offset = range->offset + (t.gpa - range->start);
    if (range->ram->page_has_code(offset / kPageSize)) {
      if (grouped) return ungroup(c, site_pointer);
      ++c.counters.slow_stores;
      uint64_t lines = c.cache->code_lines(*range->ram, offset / kPageSize);
      uint64_t touched =
          (~uint64_t{0} << (in_page / 64)) & (~uint64_t{0} >> (63 - (in_page + site.size() - 1) / 64));
      if ((lines & touched) == 0) {
        if (c.cache->near_store(*range->ram, offset / kPageSize)) {
          DropRequest request{&c, range->ram, offset & ~kPageMask, kPageSize};
          run_cold(core, cold_drop, &request);
        }
        return {delta, 0};
      }
      if (site.alt == 0) return ungroup(c, site_pointer);
      // PUSH and CALL go on behind their store, so they cannot leave a block that they overwrite: alone in
      // theirs they can.
      if ((site.flags & AccessSite::kUnfinished) != 0 && (c.mode & mode::kSingle) == 0) {
        c.single_once = 1;
        --core.retired;  // it begins again
        return {reinterpret_cast<uint64_t>(dispatch(c)), 2};
      }
      c.store = {linear, site.size(), false, 2, range->ram, offset};
      return {delta, 1};
    }
  }
  Slot entry{page, delta};
  // Two ranges may share a page only below page size; entries are made for whole pages of RAM.
  uint64_t page_gpa = t.gpa & ~kPageMask;
  bool whole = page_gpa >= range->start && page_gpa + kPageSize <= range->start + range->size;
  if (whole && (!write || t.write_ok)) {
    fill_tlb(c, write, linear, entry, t);
    fill_slot(c, site, write, entry);
    keep_large(c, linear, t, *range, delta);
  } else if (grouped) {
    return ungroup(c, site_pointer);
  }
  return {delta, 0};
}

extern "C" Answer runtime_segment(Context* context, uint64_t offset, const SegmentSite* site) {
  Context& c = *context;
  c.core.s.rip = mask_rip(c, c.rip_page + site->page_offset);
  uint64_t linear = 0;
  if (!cpu::to_linear(c.core, static_cast<cpu::SegIndex>(site->seg), offset, site->size, site->write != 0,
                      linear)) {
    return fault(c);
  }
  return {linear, 0};
}

extern "C" Answer runtime_store_done(Context* context, const AccessSite* site, uint64_t eflags) {
  Context& c = *context;
  PendingStore p = c.store;
  c.store.kind = 0;
  uint64_t epoch = c.cache->drop_epoch();
  cpu::Core& core = c.core;
  if (p.kind == 1) {
    const uint8_t* at = c.bounce + (p.linear & kPageMask);
    core.s.rip = mask_rip(c, c.rip_page + site->page_offset());
    bool nothing = (site->flags & AccessSite::kWaits) != 0 && x87_store_suppressed();
    bool written = nothing || cpu::write_linear(core, p.linear, at, p.size, cpu::current_privilege(core));
    if (p.locked) run_cold(core, cold_lock_end, &c);
    if (!written) return fault(c);
  } else if (p.kind == 2) {
    DropRequest request{&c, p.ram, p.ram_offset, p.size};
    run_cold(core, cold_drop, &request);
  }
  constexpr uint32_t kNow =
      cpu::pending::kTlbFlush | cpu::pending::kExit | cpu::pending::kEngine | cpu::pending::kSmi;
  uint32_t now = core.counts_time ? ~0u : kNow;
  if (epoch == c.cache->drop_epoch() && (core.pending.load(std::memory_order_relaxed) & now) == 0)
    return {0, 0};
  auto ah = static_cast<unsigned>(eflags & 0xff);
  core.s.status_flags = static_cast<uint16_t>(ah << 8 | ((eflags & cpu::rflags::OF) != 0 ? 1u : 0));
  // Stack pointer updates of PUSH and CALL come after the store: those must run to their end in the block.
  if ((site->flags & AccessSite::kUnfinished) != 0) return {0, 0};
  core.s.rip = mask_rip(c, c.rip_page + site->next_offset());
  return {reinterpret_cast<uint64_t>(dispatch(c)), 2};
}

}  // namespace rhea::dbt
