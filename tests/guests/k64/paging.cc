// Paging in 64-bit mode: permissions, A and D bits, reserved bits, large pages,
// TLB invalidation, PCID, global pages, SMEP, SMAP, protection keys, LA57.
// SDM 3A 4.6 (access rights), 4.7 (error codes), 4.8, 4.10.
#include "paging.h"

#include "test.h"

namespace {
constexpr Word kAt = 0x50000000000;
enum Access { kRead, kWrite, kExec };
constexpr Access kAccesses[] = {kRead, kWrite, kExec};
constexpr Word kEP = 1, kEW = 2, kEU = 4, kERsvd = 8, kEI = 16, kEPk = 32;

void make_ret(void* page) {
  *static_cast<volatile u8*>(page) = 0xc3;
}

Trap try_access(Word at, Access access, bool in_user) {
  if (access == kRead) {
    const auto f = [=] { asm volatile("mov (%0),%%al" ::"r"(at) : "rax", "memory"); };
    return in_user ? user(f) : attempt(f);
  }
  if (access == kWrite) {
    const auto f = [=] { asm volatile("movb $0xc3,(%0)" ::"r"(at) : "memory"); };
    return in_user ? user(f) : attempt(f);
  }
  const auto f = [=] { asm volatile("call *%0" ::"r"(at) : "memory"); };
  return in_user ? user(f) : attempt(f);
}

struct Rules {
  bool wp, smep, smap, ac;
};

// What SDM 4.6.1 and 4.7 say: the error code, or kNoTrap for "allowed".
Word verdict(bool p, bool w, bool u, bool nx, Access access, bool in_user, const Rules& rules) {
  const Word code = (access == kWrite ? kEW : 0) | (in_user ? u64{kEU} : 0) | (access == kExec ? kEI : 0);
  if (!p) return code;
  bool allowed;
  if (in_user) {
    allowed = u && (access != kWrite || w) && (access != kExec || !nx);
  } else if (access == kExec) {
    allowed = !nx && !(u && rules.smep);
  } else {
    allowed = access == kRead || w || !rules.wp;
    if (u && rules.smap && !rules.ac) allowed = false;
  }
  return allowed ? kNoTrap : code | kEP;
}

void check_matrix(const Rules& rules, int upper_level) {
  void* page = new_page();
  make_ret(page);
  u64* leaf = entry_for(kAt, 1);
  u64* upper = upper_level ? entry_for(kAt, upper_level) : nullptr;
  const u64 upper_base = upper ? *upper & kPageMask : 0;
  for (unsigned bits = 0; bits < (upper ? 256u : 16u); ++bits) {
    const bool p = bits & 1, w = bits & 2, u = bits & 4, nx = bits & 8;
    const bool p2 = !upper || bits & 16, w2 = !upper || bits & 32, u2 = !upper || bits & 64,
               nx2 = upper && bits & 128;
    *leaf = reinterpret_cast<Word>(page) | (p ? u64{kP} : 0) | (w ? u64{kW} : 0) | (u ? u64{kU} : 0) |
            (nx ? u64{kNx} : 0);
    if (upper)
      *upper =
          upper_base | (p2 ? u64{kP} : 0) | (w2 ? u64{kW} : 0) | (u2 ? u64{kU} : 0) | (nx2 ? u64{kNx} : 0);
    for (int in_user = 0; in_user < 2; ++in_user) {
      for (const Access access : kAccesses) {
        flush_all();
        if (rules.ac && !in_user) asm volatile("stac" ::: "memory", "cc");
        const Trap t = try_access(kAt, access, in_user);
        if (rules.ac) asm volatile("clac" ::: "memory", "cc");
        const Word want = verdict(p && p2, w && w2, u && u2, nx || nx2, access, in_user, rules);
        const bool good = want == kNoTrap ? t.vector == kNoTrap || t.vector == kUserExit
                                          : t.vector == kPF && t.error == want && t.cr2 == kAt;
        if (!good) {
          fail("(leaf/upper bits << 8 | access << 4 | user), trap << 8 | error", (t.vector << 8 | t.error),
               want == kNoTrap ? want : kPF << 8 | want);
          print("#     bits ");
          print_hex(bits << 8 | access << 4 | in_user);
          print("\n");
        }
      }
    }
  }
}
bool has_pcid() {
  return cpuid(1).c & 1 << 17;
}
bool has_smep() {
  return cpuid7().b & 1 << 7;
}
bool has_smap() {
  return cpuid7().b & 1 << 20;
}
u64 read64(Word at) {
  return *reinterpret_cast<volatile u64*>(at);
}
}  // namespace
TEST(paging_permissions) {
  check_matrix({true, false, false, false}, 0);
}
TEST(paging_permissions_without_wp) {
  write_cr0(read_cr0() & ~kCr0Wp);
  check_matrix({false, false, false, false}, 0);
}
TEST(paging_permissions_level_2) {
  check_matrix({true, false, false, false}, 2);
}
TEST(paging_permissions_level_3) {
  check_matrix({true, false, false, false}, 3);
}
TEST(paging_permissions_level_4) {
  check_matrix({true, false, false, false}, 4);
}
TEST(paging_permissions_smep) {
  if (!has_smep()) skip("no SMEP");
  write_cr4(read_cr4() | kCr4Smep);
  check_matrix({true, true, false, false}, 0);
}
TEST(paging_permissions_smap) {
  if (!has_smap()) skip("no SMAP");
  write_cr4(read_cr4() | kCr4Smap);
  check_matrix({true, false, true, false}, 0);
}
TEST(paging_permissions_smap_with_ac) {
  if (!has_smap()) skip("no SMAP");
  write_cr4(read_cr4() | kCr4Smap);
  check_matrix({true, false, true, true}, 0);
}
TEST(paging_permissions_smep_smap_without_wp) {
  if (!has_smap() || !has_smep()) skip("no SMAP or SMEP");
  write_cr0(read_cr0() & ~kCr0Wp);
  write_cr4(read_cr4() | kCr4Smap | kCr4Smep);
  check_matrix({false, true, true, false}, 0);
}

TEST(paging_nx_without_nxe_is_reserved) {
  map_page(kAt, reinterpret_cast<Word>(new_page()), kP | kW | kNx);
  write_msr(kMsrEfer, read_msr(kMsrEfer) & ~kEferNxe);
  flush_all();
  const Trap t = try_access(kAt, kRead, false);
  write_msr(kMsrEfer, read_msr(kMsrEfer) | kEferNxe);
  expect_trap(t, kPF, kEP | kERsvd, "NX bit set, NXE clear");
}

TEST(paging_reserved_bits) {
  const unsigned width = cpuid_max(0x80000000) >= 0x80000008 ? cpuid(0x80000008).a & 0xff : 36;
  void* page = new_page();
  u64* leaf = entry_for(kAt, 1);
  if (width < 52) {
    *leaf = reinterpret_cast<Word>(page) | kP | kW | 1ull << 51;
    flush_all();
    expect_trap(try_access(kAt, kRead, false), kPF, kEP | kERsvd, "leaf above the physical width");
    *leaf = reinterpret_cast<Word>(page) | kP | kW | 1ull << width;
    flush_all();
    expect_trap(try_access(kAt, kWrite, false), kPF, kEP | kERsvd | kEW, "first reserved bit");
  }
  *leaf = reinterpret_cast<Word>(page) | kP | kW | 0x7ffull << 52;
  flush_all();
  expect_no_trap(try_access(kAt, kRead, false), "bits 52-62 are ignored without PKE");
  u64* level2 = entry_for(kAt, 2);
  const u64 saved2 = *level2;
  *level2 = 0x200000 | kP | kW | kPs | 1 << 13;
  flush_all();
  expect_trap(try_access(kAt, kRead, false), kPF, kEP | kERsvd, "2 MiB page, bit 13");
  *level2 = saved2;
  u64* level4 = entry_for(kAt, 4);
  *level4 |= kPs;
  flush_all();
  expect_trap(try_access(kAt, kRead, false), kPF, kEP | kERsvd, "PS in level 4");
  *level4 &= ~u64{kPs};
  flush_all();
  expect_no_trap(try_access(kAt, kRead, false), "restored");
}

TEST(paging_accessed_and_dirty) {
  void* page = new_page();
  map_page(kAt, reinterpret_cast<Word>(page), kP | kW | kU);
  volatile u64* leaf = entry_for(kAt, 1);
  u64* upper[3] = {entry_for(kAt, 2), entry_for(kAt, 3), entry_for(kAt, 4)};
  for (u64* e : upper) *e &= ~u64{kA | kD};
  flush_all();
  (void)read64(kAt);
  expect(*leaf & (kA | kD), kA, "read sets A");
  for (u64* e : upper) expect(*e & (kA | kD), kA, "upper entries: A, never D");
  *reinterpret_cast<volatile u64*>(kAt) = 1;
  expect(*leaf & (kA | kD), kA | kD, "a write after a read sets D");
  *leaf = *leaf & ~u64{kA | kD};
  flush_all();
  *reinterpret_cast<volatile u64*>(kAt) = 1;
  expect(*leaf & (kA | kD), kA | kD, "write sets both");
  *leaf = *leaf & ~u64{kD};
  flush_all();
  make_ret(page);
  try_access(kAt, kExec, false);
  expect(*leaf & (kA | kD), kA, "fetch sets A");
  *leaf = (*leaf & ~u64{kA | kD | kW});
  flush_all();
  try_access(kAt, kWrite, false);
  expect(*leaf & kD, 0, "a refused write leaves D clear");
}

TEST(paging_cmpxchg_that_fails_is_a_write) {
  map_page(kAt, reinterpret_cast<Word>(new_page()), kP);
  const Trap t = attempt([] {
    asm volatile("mov $1,%%eax; cmpxchg %%ecx,(%0)" ::"r"(kAt) : "rax", "rcx", "cc", "memory");
  });
  expect_trap(t, kPF, kEP | kEW, "faults as a write");
  map_page(kAt, reinterpret_cast<Word>(new_page()), kP | kW);
  flush_all();
  asm volatile("mov $1,%%eax; cmpxchg %%ecx,(%0)" ::"r"(kAt) : "rax", "rcx", "cc", "memory");
  expect(*entry_for(kAt, 1) & kD, kD, "sets D");
}

TEST(paging_access_across_two_pages) {
  map_page(kAt, reinterpret_cast<Word>(new_page()), kP | kW);
  map_page(kAt + 4096, 0, 0);
  Trap t = attempt([] { asm volatile("mov (%0),%%rax" ::"r"(kAt + 4092) : "rax"); });
  expect_trap(t, kPF, 0, "second page absent");
  expect(t.cr2, kAt + 4096, "CR2 is the first byte of the second page");
  *reinterpret_cast<volatile u32*>(kAt + 4092) = 0x55;
  t = attempt([] {
    asm volatile("mov %0,%%rcx; mov $-1,%%rax; mov %%rax,(%%rcx)" ::"r"(kAt + 4092) : "rax", "rcx", "memory");
  });
  expect_trap(t, kPF, kEW, "store, second page absent");
  expect(*reinterpret_cast<volatile u32*>(kAt + 4092), 0x55, "the first page is not written");
  void* two = new_page();
  map_page(kAt + 4096, reinterpret_cast<Word>(two), kP);
  t = attempt([] { asm volatile("mov $-1,%%rax; mov %%rax,(%0)" ::"r"(kAt + 4092) : "rax", "memory"); });
  expect_trap(t, kPF, kEP | kEW, "store, second page read-only");
  expect(*reinterpret_cast<volatile u32*>(kAt + 4092), 0x55, "the first page is still not written");
}

TEST(paging_large_pages) {
  // 2 MiB page over physical 4 MiB..., read through both mappings.
  volatile u64* cell = reinterpret_cast<volatile u64*>(0x612340);
  *cell = 0x1122334455667788;
  *entry_for(kAt, 2) = 0x600000 | kP | kW | kPs;
  flush_all();
  expect(read64(kAt + 0x12340), 0x1122334455667788, "2 MiB");
  *reinterpret_cast<volatile u64*>(kAt + 0x12340) = 5;
  expect(*cell, 5, "written");
  expect(*entry_for(kAt, 2) & kD, kD, "D in the level 2 entry");
  if (!(cpuid(0x80000001).d & 1 << 26)) return;
  *entry_for(kAt + 0x40000000, 3) = 0 | kP | kW | kPs;
  flush_all();
  expect(read64(kAt + 0x40000000 + 0x612340), 5, "1 GiB");
}

TEST(paging_invlpg) {
  void *one = new_page(), *two = new_page();
  *static_cast<u64*>(one) = 1;
  *static_cast<u64*>(two) = 2;
  for (int i = 0; i < 100; ++i) {
    *entry_for(kAt, 1) = reinterpret_cast<Word>(one) | kP | kW;
    invlpg(reinterpret_cast<void*>(kAt + 0x123));
    expect(read64(kAt), 1, "one");
    *entry_for(kAt, 1) = reinterpret_cast<Word>(two) | kP | kW;
    invlpg(reinterpret_cast<void*>(kAt));
    expect(read64(kAt), 2, "two");
  }
  // INVLPG of any address in a large page drops all of it.
  *entry_for(kAt, 2) = 0x600000 | kP | kW | kPs;
  flush_all();
  *reinterpret_cast<volatile u64*>(0x601000) = 61;
  *reinterpret_cast<volatile u64*>(0x801000) = 81;
  expect(read64(kAt + 0x1000), 61, "large before");
  *entry_for(kAt, 2) = 0x800000 | kP | kW | kPs;
  invlpg(reinterpret_cast<void*>(kAt + 0x1ff000));
  expect(read64(kAt + 0x1000), 81, "large after");
}

TEST(paging_not_present_is_not_cached) {
  for (int i = 0; i < 50; ++i) {
    *entry_for(kAt, 1) = 0;
    invlpg(reinterpret_cast<void*>(kAt));
    expect_trap(try_access(kAt, kRead, false), kPF, 0, "absent");
    *entry_for(kAt, 1) = reinterpret_cast<Word>(&gdt) / 4096 * 4096 | kP;  // no INVLPG needed
    expect_no_trap(try_access(kAt, kRead, false), "present");
  }
}

TEST(paging_spurious_fault_after_permission_widening) {
  // Read-only to writable without INVLPG: hardware may fault once, and the
  // fault drops the entry, so a handler that only returns must get on.
  static unsigned faults;
  *entry_for(kAt, 1) = reinterpret_cast<Word>(new_page()) | kP;
  flush_all();
  (void)read64(kAt);
  *entry_for(kAt, 1) |= kW;
  faults = 0;
  on_trap(kPF, [](Frame&) { return ++faults < 10; });
  *reinterpret_cast<volatile u64*>(kAt) = 1;
  expect_true(faults <= 1, "at most one fault");
}

TEST(paging_cr3_switch_keeps_global_pages) {
  void *one = new_page(), *two = new_page();
  *static_cast<u64*>(one) = 1;
  *static_cast<u64*>(two) = 2;
  write_cr4(read_cr4() | kCr4Pge);
  *entry_for(kAt, 1) = reinterpret_cast<Word>(one) | kP | kW;
  flush_all();
  expect(read64(kAt), 1, "one");
  *entry_for(kAt, 1) = reinterpret_cast<Word>(two) | kP | kW;
  write_cr3(read_cr3());
  expect(read64(kAt), 2, "a CR3 load drops what is not global");
  *entry_for(kAt, 1) = reinterpret_cast<Word>(one) | kP | kW | kG;
  invlpg(reinterpret_cast<void*>(kAt));
  expect(read64(kAt), 1, "global");
  *entry_for(kAt, 1) = reinterpret_cast<Word>(two) | kP | kW | kG;
  invlpg(reinterpret_cast<void*>(kAt));
  expect(read64(kAt), 2, "INVLPG drops a global page");
  *entry_for(kAt, 1) = reinterpret_cast<Word>(one) | kP | kW | kG;
  write_cr4(read_cr4() & ~kCr4Pge);
  expect(read64(kAt), 1, "clearing PGE drops all");
}

TEST(paging_switching_address_spaces) {
  // Two roots that map different code at one address, many switches.
  u8 *one = static_cast<u8*>(new_page()), *two = static_cast<u8*>(new_page());
  static const u8 first[] = {0xb8, 1, 0, 0, 0, 0xc3}, second[] = {0xb8, 2, 0, 0, 0, 0xc3};
  copy(one, first, sizeof first);
  copy(two, second, sizeof second);
  const Word root = read_cr3();
  u64* other = new_table();
  copy(other, reinterpret_cast<void*>(root), 4096);
  map_page(kAt, reinterpret_cast<Word>(one), kP);
  write_cr3(reinterpret_cast<Word>(other));
  map_page(kAt, reinterpret_cast<Word>(two), kP);
  for (int i = 0; i < 100; ++i) {
    u32 v;
    write_cr3(root);
    asm volatile("call *%1" : "=a"(v) : "r"(kAt) : "memory");
    expect(v, 1, "first root");
    write_cr3(reinterpret_cast<Word>(other));
    asm volatile("call *%1" : "=a"(v) : "r"(kAt) : "memory");
    expect(v, 2, "second root");
  }
}

TEST(pcid) {
  if (!has_pcid()) skip("no PCID");
  void *one = new_page(), *two = new_page();
  *static_cast<u64*>(one) = 1;
  *static_cast<u64*>(two) = 2;
  const Word root = read_cr3();
  u64* other = new_table();
  map_page(kAt, reinterpret_cast<Word>(one), kP | kW);
  copy(other, reinterpret_cast<void*>(root), 4096);
  u64* const leaf_one = entry_for(kAt, 1);
  other[(kAt >> 39) & 511] = 0;
  expect_trap(attempt([=] {
                write_cr3(root | 0);
                write_cr4(read_cr4() | kCr4Pcide);
              }),
              kNoTrap, "PCIDE on");
  const Word other_root = reinterpret_cast<Word>(other);
  write_cr3(other_root | 5);
  map_page(kAt, reinterpret_cast<Word>(two), kP | kW);
  u64* const leaf_two = entry_for(kAt, 1);
  for (int i = 0; i < 20; ++i) {
    write_cr3(root | 3 | 1ull << 63);
    expect(read64(kAt), 1, "PCID 3");
    write_cr3(other_root | 5 | 1ull << 63);
    expect(read64(kAt), 2, "PCID 5");
  }
  // A change that is flushed must be seen, in the other PCID too.
  *leaf_one = reinterpret_cast<Word>(two) | kP | kW;
  write_cr3(root | 3);  // bit 63 clear: flushes PCID 3
  expect(read64(kAt), 2, "CR3 load without bit 63 flushes its PCID");
  *leaf_two = reinterpret_cast<Word>(one) | kP | kW;
  if (cpuid7().b & 1 << 10) {
    struct {
      u64 pcid, address;
    } descriptor = {5, kAt};
    asm volatile("invpcid %0,%1" ::"m"(descriptor), "r"(Word{0}) : "memory");
    write_cr3(other_root | 5 | 1ull << 63);
    expect(read64(kAt), 1, "INVPCID type 0 for another PCID");
    *leaf_two = reinterpret_cast<Word>(two) | kP | kW;
    write_cr3(root | 3 | 1ull << 63);
    asm volatile("invpcid %0,%1" ::"m"(descriptor), "r"(Word{1}) : "memory");
    write_cr3(other_root | 5 | 1ull << 63);
    expect(read64(kAt), 2, "INVPCID type 1");
    *leaf_two = reinterpret_cast<Word>(one) | kP | kW;
    asm volatile("invpcid %0,%1" ::"m"(descriptor), "r"(Word{2}) : "memory");
    expect(read64(kAt), 1, "INVPCID type 2");
    *leaf_two = reinterpret_cast<Word>(two) | kP | kW;
    asm volatile("invpcid %0,%1" ::"m"(descriptor), "r"(Word{3}) : "memory");
    expect(read64(kAt), 2, "INVPCID type 3");
    expect_trap(attempt([&] { asm volatile("invpcid %0,%1" ::"m"(descriptor), "r"(Word{4})
                                           : "memory"); }),
                kGP, 0, "type 4");
    descriptor.pcid = 0x1000;
    expect_trap(attempt([&] { asm volatile("invpcid %0,%1" ::"m"(descriptor), "r"(Word{0})
                                           : "memory"); }),
                kGP, 0, "PCID 4096");
  }
  write_cr3(root);
  write_cr4(read_cr4() & ~kCr4Pcide);
  write_cr3(root | 5);
  expect_trap(attempt([] { write_cr4(read_cr4() | kCr4Pcide); }), kGP, 0, "PCIDE with CR3[11:0] not 0");
  write_cr3(root);
}

TEST(protection_keys) {
  if (!(cpuid7().c & 8)) skip("no PKU");
  void* page = new_page();
  make_ret(page);
  map_page(kAt, reinterpret_cast<Word>(page), kP | kW | kU | 3ull << 59);
  map_page(kAt + 4096, reinterpret_cast<Word>(page), kP | kW | 3ull << 59);
  expect_trap(attempt([] {
                asm volatile("xor %%ecx,%%ecx; rdpkru" ::: "rax", "rcx", "rdx");
              }),
              kUD, 0, "RDPKRU without PKE");
  write_cr4(read_cr4() | kCr4Pke);
  const auto set = [](u32 v) { asm volatile("wrpkru" ::"a"(v), "c"(0), "d"(0) : "memory"); };
  for (u32 bits = 0; bits < 4; ++bits) {
    set(bits << 6);
    const bool ad = bits & 1, wd = bits & 2;
    for (int in_user = 0; in_user < 2; ++in_user) {
      const Word u = in_user ? kEU : 0;
      Trap t = try_access(kAt, kRead, in_user);
      if (ad)
        expect_trap(t, kPF, kEP | kEPk | u, "read, AD");
      else
        expect_no_trap(t, "read allowed");
      t = try_access(kAt, kWrite, in_user);
      if (ad || wd)
        expect_trap(t, kPF, kEP | kEPk | kEW | u, "write, AD or WD");
      else
        expect_no_trap(t, "write allowed");
      expect_no_trap(try_access(kAt, kExec, in_user), "fetch is never refused");
    }
    expect_no_trap(try_access(kAt + 4096, kWrite, false), "supervisor pages have no key");
  }
  write_cr0(read_cr0() & ~kCr0Wp);
  set(2 << 6);
  expect_no_trap(try_access(kAt, kWrite, false), "WD without CR0.WP in ring 0");
  set(0);
  expect_trap(attempt([] {
                asm volatile("mov $1,%%ecx; rdpkru" ::: "rax", "rcx", "rdx");
              }),
              kGP, 0, "RDPKRU, ecx 1");
}

TEST(smap_implicit_and_flags) {
  if (!has_smap()) skip("no SMAP");
  expect_trap(user([] { asm volatile("stac"); }), kUD, 0, "STAC in ring 3");
  map_page(kAt, reinterpret_cast<Word>(new_page()), kP | kW | kU);
  write_cr4(read_cr4() | kCr4Smap);
  // A descriptor table on a user page is an implicit supervisor access: AC does
  // not help. The LDT, since delivering the fault reads the GDT.
  reinterpret_cast<u64*>(*entry_for(kAt, 1) & kPageMask)[1] = gdt[2];
  gdt[kSelTest / 8] =
      make_descriptor(0, 15, kDescP | 0x200) | (kAt & 0xffffff) << 16 | (kAt >> 24 & 0xff) << 56;
  gdt[kSelTest / 8 + 1] = kAt >> 32;
  lldt(kSelTest);
  asm volatile("stac" ::: "cc");
  const Trap t = attempt([] { asm volatile("mov %0,%%fs" ::"r"(Word{0x0c})); });
  asm volatile("clac" ::: "cc");
  lldt(0);
  expect_trap(t, kPF, kEP, "LDT on a user page");
  on_trap(0x90, [](Frame& f) {
    f.ax = read_flags();
    return true;
  });
  asm volatile("stac" ::: "cc");
  Word flags;
  asm volatile("int $0x90" : "=a"(flags));
  asm volatile("clac" ::: "cc");
  expect(flags & kAcFlag, kAcFlag, "an interrupt leaves AC alone");
}

TEST(la57) {
  if (!(cpuid7().c & 1 << 16)) skip("no LA57");
  // By way of compatibility mode without paging: CR4.LA57 can't change in long mode.
  u64* level5 = new_table();
  level5[0] = read_cr3() | kP | kW | kU;
  void* page = new_page();
  *static_cast<u64*>(page) = 57;
  const Word old_cr3 = read_cr3(), new_cr3 = reinterpret_cast<Word>(level5), cr4 = read_cr4();
  const auto change = [](Word cr3, Word cr4_value) {
    asm volatile(R"(
      push %%rbp
      lea 3f(%%rip),%%rbp
      push $0x30
      lea 1f(%%rip),%%rax
      push %%rax
      lretq
      .code32
   1: mov %%cr0,%%eax
      btr $31,%%eax
      mov %%eax,%%cr0
      mov %%edx,%%cr4
      mov %%ecx,%%cr3
      bts $31,%%eax
      mov %%eax,%%cr0
      push $8
      push %%ebp
      lret
      .code64
   3: pop %%rbp)"
                 :
                 : "c"(cr3), "d"(cr4_value)
                 : "rax", "memory", "cc");
  };
  change(new_cr3, cr4 | kCr4La57);
  expect(read_cr4() & kCr4La57, kCr4La57, "on");
  const Word high = 0x00a0000000000000;
  map_page(high, reinterpret_cast<Word>(page), kP | kW);
  expect(read64(high), 57, "57-bit address");
  expect_trap(attempt([=] { asm volatile("mov (%0),%%al" ::"r"(Word{0x0100000000000000})
                                         : "rax"); }), kGP, 0,
              "not canonical");
  expect_trap(attempt([=] { asm volatile("mov (%0),%%al" ::"r"(Word{0x0000900000000000})
                                         : "rax"); }), kPF, 0,
              "canonical now");
  change(old_cr3, cr4);
  expect(read_cr4() & kCr4La57, 0, "off again");
}

TEST(paging_cr2_and_instruction_restart) {
  // The handler maps the page and returns: the instruction is executed again.
  static void* page;
  page = new_page();
  *static_cast<u64*>(page) = 0x77;
  entry_for(kAt, 1);
  on_trap(kPF, [](Frame&) {
    map_page(read_cr2() & ~0xfff, reinterpret_cast<Word>(page), kP | kW);
    return true;
  });
  Word v = 0;
  asm volatile("mov $1,%%eax; add (%1),%%rax; mov %%rax,%0" : "=r"(v) : "r"(kAt) : "rax", "cc");
  expect(v, 0x78, "value");
  map_page(kAt, 0, 0);
  asm volatile("mov $5,%%eax; lock xadd %%rax,(%1); mov %%rax,%0"
               : "=r"(v)
               : "r"(kAt)
               : "rax", "cc", "memory");
  expect(v, 0x77, "xadd");
  expect(*static_cast<u64*>(page), 0x7c, "once");
}
