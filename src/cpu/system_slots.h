// A small cache in front of translate() for the supervisor accesses that every interrupt, system call and
// return makes: descriptor tables, TSS, kernel stack. A slot goes from a linear page to its host address.
//
// A slot is as valid as the TLB entry it was made from: it carries the same stamp (so flushes cost nothing
// here), INVLPG raises the epoch, and the bits a hit does not check are in its key. Pages whose permission
// depends on what may change without a flush (user pages under SMAP or protection keys) get none. Private to
// linear_access.cc.
#pragma once

#include "cpu/paging.h"
#include "cpu/paging_tlb.h"

namespace rhea::cpu {

inline uint64_t slot_key(const Core& c, uint64_t linear, bool write) {
  constexpr uint64_t kValid = 1ull << 63;
  uint64_t smm = c.s.in_smm != 0 ? 1 : 0, a20 = c.s.a20_masked != 0 ? 2 : 0;
  uint64_t wp = c.s.cr0 >> 14 & 4;
  return (linear >> 12) << 4 | (write ? 8u : 0u) | wp | a20 | smm | kValid;
}

inline SystemSlot& slot_of(PagingTlb& t, uint64_t key) {
  return t.system[(key >> 3 ^ key >> 10) % PagingTlb::kSystemSlots];
}

// The host address of [linear, linear + size), or null: take the long way.
inline SystemSlot* find_slot(Core& c, uint64_t linear, unsigned size, bool write, Privilege privilege) {
  PagingTlb* t = c.tlb;
  if (privilege == Privilege::User || t == nullptr || (linear & kPageMask) + size > kPageSize) return nullptr;
  check_mode(*t, c.s);
  uint64_t key = slot_key(c, linear, write);
  SystemSlot& slot = slot_of(*t, key);
  if (slot.key != key || slot.epoch != t->system_epoch) return nullptr;
  if (slot.stamp != t->global_stamp && slot.stamp != stamp_of(*t, current_pcid(c.s))) return nullptr;
  return &slot;
}

// After a long way that succeeded and went to RAM.
inline void fill_slot(Core& c, uint64_t linear, bool write, Privilege privilege) {
  constexpr uint64_t kRevocable = cr4::SMAP | cr4::PKE;
  if (privilege == Privilege::User) return;
  Translation tr;
  if (!translate(c, linear, write ? Access::Write : Access::Read, privilege, tr)) return;
  if (tr.user_page && (c.s.cr4 & kRevocable) != 0 && (c.s.cr0 & cr0::PG) != 0) return;
  const memory::FlatRange* range;
  uint64_t page = tr.gpa & ~kPageMask;
  uint8_t* host = host_pointer(c, page, kPageSize, range);
  if (host == nullptr || (write && range->access == memory::RamAccess::ReadOnly)) return;
  PagingTlb& t = *c.tlb;
  uint64_t key = slot_key(c, linear, write);
  slot_of(t, key) = {.key = key,
                     .stamp = tr.global ? t.global_stamp : stamp_of(t, current_pcid(c.s)),
                     .epoch = t.system_epoch,
                     .host = host,
                     .gpa = page,
                     .range = range};
}

}  // namespace rhea::cpu
