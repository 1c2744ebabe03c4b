// Page walks and the tagged TLB. SDM vol. 3A chapter 4: 4.3 32-bit paging, 4.4 PAE, 4.5 4-level and
// 5-level, 4.6 access rights, 4.7 page-fault exceptions, 4.8 accessed and dirty flags, 4.10 caching.
//
// Missing: paging-structure caches (a walk reads every level) and memory types (PAT, PCD, PWT are ignored:
// all guest memory is write-back on the host). General registers only; see core.h.
#include "cpu/paging.h"

#include "cpu/paging_cold.h"
#include "cpu/paging_tlb.h"

namespace rhea::cpu {

using memory::FlatRange;

namespace {

// Bits of a paging-structure entry, SDM vol. 3A tables 4-4 to 4-20.
constexpr uint64_t kPresent = 1, kRw = 2, kUs = 4, kAccessed = 0x20, kDirty = 0x40, kPs = 0x80, kG = 0x100,
                   kXd = uint64_t{1} << 63, kAddress = 0x000ffffffffff000;
// Page-fault error code, 4.7.
constexpr uint32_t kPfPresent = 1, kPfWrite = 2, kPfUser = 4, kPfReserved = 8, kPfFetch = 16, kPfKey = 32;

struct Request {
  uint64_t linear;
  Access access;
  Privilege privilege;
};

constexpr unsigned page_shift(unsigned level) {
  return 12 + 9 * (level - 1);
}

bool page_fault(Core& c, const Request& q, uint32_t code) {
  if (q.access == Access::Write) code |= kPfWrite;
  if (q.privilege == Privilege::User) code |= kPfUser;
  if (q.access == Access::Fetch) {
    bool nx = (c.s.efer & efer::NXE) != 0 && (c.s.cr4 & cr4::PAE) != 0;
    if (nx || (c.s.cr4 & cr4::SMEP) != 0) code |= kPfFetch;
  }
  c.fault = {.vector = vec::PF, .has_code = true, .code = code, .address = q.linear, .dr6 = 0};
  return false;
}

// 4.6.2: PKRU applies to data accesses to user pages, whoever makes them.
bool key_denies(const Core& c, uint32_t rights, Access access, Privilege privilege) {
  if ((c.s.cr4 & cr4::PKE) == 0 || access == Access::Fetch || (rights & right::kUser) == 0) return false;
  if ((c.s.efer & efer::LMA) == 0) return false;
  uint32_t key = rights >> right::kKeyShift & right::kKeyMask;
  uint32_t deny = c.s.pkru >> (2 * key);
  if ((deny & 1) != 0) return true;
  return (deny & 2) != 0 && access == Access::Write &&
         (privilege == Privilege::User || (c.s.cr0 & cr0::WP) != 0);
}

// The control bits of 4.6.1 in one word: they do not overlap. EFLAGS.AC is apart, it changes too often.
constexpr uint32_t kWp = cr0::WP, kSmep = cr4::SMEP, kSmap = cr4::SMAP;
static_assert((cr0::WP & (cr4::SMEP | cr4::SMAP)) == 0);
uint32_t rules_of(const CpuState& s) {
  return static_cast<uint32_t>((s.cr0 & cr0::WP) | (s.cr4 & (cr4::SMEP | cr4::SMAP)));
}

// 4.6.1, without keys.
bool rights_deny(uint32_t rules, bool ac, uint32_t rights, Access access, Privilege privilege) {
  bool user_page = (rights & right::kUser) != 0;
  if (access == Access::Fetch) {
    if ((rights & right::kNoExec) != 0) return true;
    if (privilege == Privilege::User) return !user_page;
    return user_page && (rules & kSmep) != 0;
  }
  if (privilege == Privilege::User) {
    return !user_page || (access == Access::Write && (rights & right::kWrite) == 0);
  }
  if (user_page && (rules & kSmap) != 0 && (privilege == Privilege::Implicit || !ac)) return true;
  return access == Access::Write && (rights & right::kWrite) == 0 && (rules & kWp) != 0;
}

void make_rules(PagingTlb& t, uint32_t rules) {
  for (unsigned ac = 0; ac < 2; ++ac) {
    for (unsigned p = 0; p < 3; ++p) {
      for (uint32_t rights = 0; rights < 8; ++rights) {
        auto privilege = static_cast<Privilege>(p);
        unsigned m = 0;
        if (!rights_deny(rules, ac != 0, rights, Access::Read, privilege)) m |= may::kRead;
        if (!rights_deny(rules, ac != 0, rights, Access::Write, privilege)) m |= may::kWrite;
        if (!rights_deny(rules, ac != 0, rights, Access::Fetch, privilege)) m |= may::kFetch;
        t.allowed[ac][p][rights] = static_cast<uint8_t>(m);
      }
    }
  }
  t.rules_seen = rules;
}

// may::*, keys included.
unsigned allowed(const Core& c, const PagingTlb& t, uint32_t rights, Privilege privilege) {
  unsigned ac = c.s.system_flags >> 18 & 1;
  unsigned m = t.allowed[ac][static_cast<unsigned>(privilege)][rights & 7];
  if ((c.s.cr4 & cr4::PKE) == 0 || c.s.pkru == 0) [[likely]]
    return m;
  if (key_denies(c, rights, Access::Read, privilege)) m &= ~unsigned{may::kRead};
  if (key_denies(c, rights, Access::Write, privilege)) m &= ~unsigned{may::kWrite};
  return m;
}

constexpr unsigned need(Access access) {
  return 1u << static_cast<unsigned>(access);
}
static_assert(need(Access::Read) == may::kRead && need(Access::Write) == may::kWrite &&
              need(Access::Fetch) == may::kFetch);

void fill(const Core& c, uint64_t gpa, uint64_t page_bytes, uint32_t rights, unsigned m, Translation& out) {
  out.gpa = mask_a20(c, gpa);
  out.page_bytes = page_bytes;
  out.write_ok = (rights & right::kDirty) != 0 && (m & may::kWrite) != 0;
  out.global = (rights & right::kGlobal) != 0;
  out.user_page = (rights & right::kUser) != 0;
  out.exec_ok = (m & may::kFetch) != 0;
}

// ---- the TLB ----

PagingTlb& tlb(Core& c) {
  if (c.tlb == nullptr) [[unlikely]]
    c.cold(paging_cold::create, &c);
  return *c.tlb;
}

TlbEntry* find_in(TlbEntry* set, unsigned ways, uint64_t page, uint64_t stamp, uint64_t global) {
  for (unsigned i = 0; i < ways; ++i) {
    if (set[i].page == page && (set[i].stamp == stamp || set[i].stamp == global)) return &set[i];
  }
  return nullptr;
}

TlbEntry* small_set(PagingTlb& t, uint64_t page) {
  return t.small[page % PagingTlb::kSmallSets];
}
TlbEntry* large_set(PagingTlb& t, uint64_t page) {
  return t.large[page % PagingTlb::kLargeSets];
}

// The access through a valid entry; false: walk. A violation is not believed: the tables may have been
// relaxed since, which needs no invalidation.
template <unsigned kShift>
[[gnu::always_inline]] inline bool hit(const Core& c, const PagingTlb& t, const Request& q, const TlbEntry& e,
                                       Translation& out) {
  uint32_t rights = e.rights;
  if (q.access == Access::Write && (rights & right::kDirty) == 0) return false;
  unsigned m = allowed(c, t, rights, q.privilege);
  if ((m & need(q.access)) == 0) [[unlikely]]
    return false;
  constexpr uint64_t kBytes = uint64_t{1} << kShift;
  uint64_t gpa = e.gpa + (q.linear & (kBytes - 1));
  fill(c, gpa, kShift == 21 && (rights & right::k4M) != 0 ? 2 * kBytes : kBytes, rights, m, out);
  return true;
}

// Large and huge pages.
[[gnu::noinline]] bool lookup_large(const Core& c, PagingTlb& t, const Request& q, uint64_t stamp,
                                    Translation& out) {
  uint64_t page = q.linear >> 21;
  if (const TlbEntry* e = find_in(large_set(t, page), PagingTlb::kWays, page, stamp, t.global_stamp)) {
    return hit<21>(c, t, q, *e, out);
  }
  if (t.huge_used == 0) return false;
  page = q.linear >> 30;
  const TlbEntry* e = find_in(t.huge, PagingTlb::kHuge, page, stamp, t.global_stamp);
  return e != nullptr && hit<30>(c, t, q, *e, out);
}

// Puts the translation of the page of 1 << shift bytes around linear in place of the one it had, or of any.
void insert(Core& c, uint64_t linear, uint64_t page_gpa, unsigned shift, uint32_t rights) {
  PagingTlb& t = *c.tlb;
  uint64_t page = linear >> shift;
  uint64_t stamp = stamp_of(t, current_pcid(c.s));
  TlbEntry* set = shift == 12 ? small_set(t, page) : shift == 21 ? large_set(t, page) : t.huge;
  unsigned ways = shift == 30 ? PagingTlb::kHuge : PagingTlb::kWays;
  if (shift == 30) t.huge_used = 1;
  TlbEntry* e = find_in(set, ways, page, stamp, t.global_stamp);
  if (e == nullptr) e = &set[t.victim++ % ways];
  e->stamp = (rights & right::kGlobal) != 0 ? t.global_stamp : stamp;
  e->page = page;
  e->gpa = page_gpa;
  e->rights = rights;
}

void drop_in(TlbEntry* set, unsigned ways, uint64_t page, uint64_t stamp, uint64_t global) {
  for (unsigned i = 0; i < ways; ++i) {
    if (set[i].page == page && (set[i].stamp == stamp || set[i].stamp == global)) set[i].stamp = 0;
  }
}

// global: the stamp of global pages, or 0 to spare them.
void drop_page(PagingTlb& t, uint64_t linear, uint64_t stamp, uint64_t global) {
  t.system_epoch++;
  uint64_t page = linear >> 12;
  drop_in(small_set(t, page), PagingTlb::kWays, page, stamp, global);
  page = linear >> 21;
  drop_in(large_set(t, page), PagingTlb::kWays, page, stamp, global);
  TlbEntry* other = find_in(large_set(t, page ^ 1), PagingTlb::kWays, page ^ 1, stamp, global);
  if (other != nullptr && (other->rights & right::k4M) != 0) other->stamp = 0;
  drop_in(t.huge, PagingTlb::kHuge, linear >> 30, stamp, global);
}

// ---- the walk ----

// Where an entry was read, for setting its A and D.
struct Slot {
  uint64_t gpa;
  uint8_t* host;  // null: not RAM
  const FlatRange* range;
};

template <class T>
T read_entry(Core& c, uint64_t gpa, Slot& slot) {
  slot.gpa = mask_a20(c, gpa);
  slot.host = host_pointer(c, slot.gpa, sizeof(T), slot.range);
  if (slot.host == nullptr) [[unlikely]]
    return static_cast<T>(read_physical(c, slot.gpa, sizeof(T)));
  // SAFETY: naturally aligned in guest-physical and host memory alike; guest memory has no type.
  return __atomic_load_n(reinterpret_cast<T*>(slot.host), __ATOMIC_RELAXED);
}

// False: the entry is not what it was any more, walk again.
template <class T>
bool set_bits(Core& c, const Slot& slot, T old, T bits) {
  if ((old & bits) == bits) [[likely]]
    return true;
  if (slot.host == nullptr) {
    write_physical(c, slot.gpa, sizeof(T), old | bits);
    return true;
  }
  if (slot.range->access == memory::RamAccess::ReadOnly) return true;  // dropped, as a store would be
  // SAFETY: as in read_entry; this is the locked cycle of 4.8.
  if (!__atomic_compare_exchange_n(reinterpret_cast<T*>(slot.host), &old, static_cast<T>(old | bits), false,
                                   __ATOMIC_SEQ_CST, __ATOMIC_RELAXED)) {
    return false;
  }
  note_code_write(c, *slot.range, slot.gpa, sizeof(T));
  return true;
}

enum class Step : uint8_t { Done, Faulted, Again };

// The leaf has been found: check, set A and D, remember. `page_gpa` and `shift` describe the page (or the 2
// MiB half of a 4 MiB one).
template <class T>
Step finish(Core& c, const Request& q, const Slot& slot, T entry, uint64_t page_gpa, unsigned shift,
            uint32_t rights, Translation& out) {
  if ((entry & kG) != 0 && (c.s.cr4 & cr4::PGE) != 0) rights |= right::kGlobal;
  unsigned m = allowed(c, *c.tlb, rights, q.privilege);
  if ((m & need(q.access)) == 0) {
    page_fault(c, q, kPfPresent | (key_denies(c, rights, q.access, q.privilege) ? kPfKey : 0));
    return Step::Faulted;
  }
  T set = static_cast<T>(kAccessed | (q.access == Access::Write ? kDirty : 0));
  if (!set_bits<T>(c, slot, entry, set)) return Step::Again;
  if (((entry | set) & kDirty) != 0) rights |= right::kDirty;
  insert(c, q.linear, page_gpa, shift, rights);
  uint64_t bytes = uint64_t{1} << shift;
  fill(c, page_gpa + (q.linear & (bytes - 1)), (rights & right::k4M) != 0 ? 2 * bytes : bytes, rights, m,
       out);
  return Step::Done;
}

// Entries of 8 bytes: PAE from level 2, 4-level and 5-level from their root.
Step walk64(Core& c, const Request& q, uint64_t table, unsigned level, Translation& out) {
  bool pae = !c.s.long_mode();
  uint64_t reserved_always = kAddress & ~((uint64_t{1} << c.phys_bits) - 1);
  if ((c.s.efer & efer::NXE) == 0) reserved_always |= kXd;
  if (pae) reserved_always |= uint64_t{0x7ff} << 52;
  uint32_t rights = right::kUser | right::kWrite;
  for (;; --level) {
    Slot slot;
    unsigned shift = page_shift(level);
    auto entry = read_entry<uint64_t>(c, table + (q.linear >> shift & 0x1ff) * 8, slot);
    if ((entry & kPresent) == 0) {
      page_fault(c, q, 0);
      return Step::Faulted;
    }
    bool leaf = level == 1 || (entry & kPs) != 0;
    uint64_t reserved = reserved_always;
    if (level >= 2 && leaf)
      reserved |= ((uint64_t{1} << shift) - 1) & kAddress & ~uint64_t{0x1000};  // bit 12 is PAT
    if (level >= 4 || (level == 3 && !c.gigabyte_pages)) reserved |= kPs;
    if ((entry & reserved) != 0) [[unlikely]] {
      page_fault(c, q, kPfPresent | kPfReserved);
      return Step::Faulted;
    }
    if ((entry & kUs) == 0) rights &= ~right::kUser;
    if ((entry & kRw) == 0) rights &= ~right::kWrite;
    if ((entry & kXd) != 0) rights |= right::kNoExec;
    if (leaf) {
      rights |= static_cast<uint32_t>(entry >> 59 & right::kKeyMask) << right::kKeyShift;
      uint64_t page_gpa = entry & kAddress & ~((uint64_t{1} << shift) - 1);
      return finish<uint64_t>(c, q, slot, entry, page_gpa, shift, rights, out);
    }
    if (!set_bits<uint64_t>(c, slot, entry, kAccessed)) return Step::Again;
    table = entry & kAddress;
  }
}

// Entries of 4 bytes, with 4 MiB pages (and PSE-36) under CR4.PSE.
Step walk32(Core& c, const Request& q, Translation& out) {
  Slot slot;
  auto pde = read_entry<uint32_t>(c, (c.s.cr3 & 0xfffff000) + (q.linear >> 22 & 0x3ff) * 4, slot);
  if ((pde & kPresent) == 0) {
    page_fault(c, q, 0);
    return Step::Faulted;
  }
  uint32_t rights = right::kUser | right::kWrite;
  if ((pde & kUs) == 0) rights &= ~right::kUser;
  if ((pde & kRw) == 0) rights &= ~right::kWrite;
  if ((pde & kPs) != 0 && (c.s.cr4 & cr4::PSE) != 0) {
    // Bits 20:13 are address bits 39:32 as far as MAXPHYADDR goes; what is left and bit 21 are reserved.
    unsigned m = !c.pse36 ? 32 : c.phys_bits < 40 ? c.phys_bits : 40;
    uint32_t reserved = 0x3fe000 & ~((uint32_t{1} << (m - 19)) - 1);
    if ((pde & reserved) != 0) {
      page_fault(c, q, kPfPresent | kPfReserved);
      return Step::Faulted;
    }
    uint64_t page_gpa = (pde & 0xffc00000) | uint64_t{pde >> 13 & 0xff} << 32 | (q.linear & 0x200000);
    return finish<uint32_t>(c, q, slot, pde, page_gpa, 21, rights | right::k4M, out);
  }
  if (!set_bits<uint32_t>(c, slot, pde, kAccessed)) return Step::Again;
  auto pte = read_entry<uint32_t>(c, (pde & 0xfffff000) + (q.linear >> 12 & 0x3ff) * 4, slot);
  if ((pte & kPresent) == 0) {
    page_fault(c, q, 0);
    return Step::Faulted;
  }
  if ((pte & kUs) == 0) rights &= ~right::kUser;
  if ((pte & kRw) == 0) rights &= ~right::kWrite;
  return finish<uint32_t>(c, q, slot, pte, pte & 0xfffff000, 12, rights, out);
}

Step walk(Core& c, const Request& q, Translation& out) {
  const CpuState& s = c.s;
  if (s.long_mode()) {
    uint64_t root = s.cr3 & kAddress & ((uint64_t{1} << c.phys_bits) - 1);
    return walk64(c, q, root, (s.cr4 & cr4::LA57) != 0 ? 5 : 4, out);
  }
  if ((s.cr4 & cr4::PAE) == 0) return walk32(c, q, out);
  uint64_t pdpte = s.pdpte[q.linear >> 30 & 3];
  if ((pdpte & kPresent) == 0) {
    page_fault(c, q, 0);
    return Step::Faulted;
  }
  return walk64(c, q, pdpte & kAddress, 2, out);
}

[[gnu::noinline]] bool walk_until_settled(Core& c, const Request& q, Translation& out) {
  Step step;
  do step = walk(c, q, out);
  while (step == Step::Again);
  return step == Step::Done;
}

}  // namespace

bool canonical(const Core& c, uint64_t linear) {
  unsigned unused = (c.s.cr4 & cr4::LA57) != 0 ? 7 : 16;
  return static_cast<uint64_t>(static_cast<int64_t>(linear << unused) >> unused) == linear;
}

bool translate(Core& c, uint64_t linear, Access access, Privilege privilege, Translation& out, bool stack) {
  const CpuState& s = c.s;
  if (!s.long_mode()) {
    linear &= 0xffffffff;
    if ((s.cr0 & cr0::PG) == 0) {
      out = {.gpa = mask_a20(c, linear),
             .page_bytes = 4096,
             .write_ok = true,
             .global = false,
             .user_page = true,
             .exec_ok = true};
      return true;
    }
  } else if (!canonical(c, linear)) {
    return c.raise(stack ? vec::SS : vec::GP, 0);
  }
  PagingTlb& t = tlb(c);
  check_mode(t, s);
  if (uint32_t rules = rules_of(s); rules != t.rules_seen) [[unlikely]]
    make_rules(t, rules);
  const Request q{linear, access, privilege};
  uint64_t stamp = stamp_of(t, current_pcid(s));
  uint64_t page = linear >> 12;
  const TlbEntry* set = small_set(t, page);
  for (unsigned i = 0; i < PagingTlb::kWays; ++i) {
    if (set[i].page != page || (set[i].stamp != stamp && set[i].stamp != t.global_stamp)) continue;
    if (hit<12>(c, t, q, set[i], out)) [[likely]]
      return true;
    return walk_until_settled(c, q, out);
  }
  return lookup_large(c, t, q, stamp, out) || walk_until_settled(c, q, out);
}

bool load_pdptes(Core& c, uint64_t cr3) {
  uint64_t table = cr3 & 0xffffffe0;
  // 4.4.1: P, PWT and PCD, ignored bits 9-11, the address.
  uint64_t reserved = 0x1e6 | ~((uint64_t{1} << c.phys_bits) - 1);
  uint64_t entries[4];
  for (unsigned i = 0; i < 4; ++i) {
    entries[i] = read_physical(c, table + i * 8, 8);
    if ((entries[i] & kPresent) != 0 && (entries[i] & reserved) != 0) return c.raise(vec::GP, 0);
  }
  for (unsigned i = 0; i < 4; ++i) c.s.pdpte[i] = entries[i];
  return true;
}

void paging_memory_changed(Core& c) {
  if (c.tlb == nullptr) return;
  c.tlb->views[0].space = nullptr;
  c.tlb->views[1].space = nullptr;
  flush_all(*c.tlb);
}

void paging_flush_all(Core& c) {
  if (c.tlb != nullptr) flush_all(*c.tlb);
}

void paging_flush_non_global(Core& c, uint64_t pcid) {
  if (c.tlb != nullptr) c.tlb->pcid_stamp[pcid & 0xfff] = ++c.tlb->counter;
}

void paging_flush_page(Core& c, uint64_t linear) {
  if (c.tlb == nullptr) return;
  if (!c.s.long_mode()) linear &= 0xffffffff;
  PagingTlb& t = *c.tlb;
  drop_page(t, linear, stamp_of(t, current_pcid(c.s)), t.global_stamp);
}

bool invpcid(Core& c, uint64_t type, uint64_t pcid, uint64_t linear) {
  if (type > 3 || pcid > 0xfff) return c.raise(vec::GP, 0);
  if (type <= 1 && pcid != 0 && (c.s.cr4 & cr4::PCIDE) == 0) return c.raise(vec::GP, 0);
  if (type == 0 && !canonical(c, linear)) return c.raise(vec::GP, 0);
  PagingTlb& t = tlb(c);
  switch (type) {
    case 0: drop_page(t, linear, stamp_of(t, pcid), 0); break;
    case 1: paging_flush_non_global(c, pcid); break;
    case 2: flush_all(t); break;
    default: t.floor = t.counter + 1; break;
  }
  return true;
}

}  // namespace rhea::cpu
