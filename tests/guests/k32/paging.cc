// 32-bit and PAE paging: permissions, large pages, reserved bits, A and D.
// SDM 3A 4.3, 4.4, 4.6. The kernel runs one to one as supervisor pages; ring 3
// code runs in segments whose base is where the same memory is a user page.
#include "test.h"

namespace {
constexpr u32 kAlias = 0x40000000, kAt = 0x80000000;
enum : u32 { kP = 1, kW = 2, kU = 4, kA = 0x20, kD = 0x40, kPs = 0x80, kG = 0x100 };
alignas(4096) u32 directory[1024], low[2][1024], alias_low[2][1024], test_table[1024];
alignas(4096) u64 pdpt[4], pae_directory[4][512], pae_low[4][512], pae_alias[4][512], pae_test[512];
alignas(4096) u8 page[4096], other[4096];

u32 address(const volatile void* p) {
  return reinterpret_cast<Word>(p);
}

void user_segments(u32 base) {
  const u32 flat = kDescP | kDescS | kDescG | kDescAccessed | kDescDb | kDescDpl3;
  gdt[3] = make_descriptor(base, 0xfffff, flat | kDescCode | kDescRead);
  gdt[4] = make_descriptor(base, 0xfffff, flat | kDescWrite);
}

void legacy_on() {
  for (u32 i = 0; i < 2048; ++i) {
    low[i / 1024][i % 1024] = i << 12 | kP | kW;
    alias_low[i / 1024][i % 1024] = i << 12 | kP | kW | kU;
  }
  memset(directory, 0, sizeof directory);
  for (u32 i = 0; i < 2; ++i) {
    directory[i] = address(low[i]) | kP | kW;
    directory[(kAlias >> 22) + i] = address(alias_low[i]) | kP | kW | kU;
  }
  memset(test_table, 0, sizeof test_table);
  directory[kAt >> 22] = address(test_table) | kP | kW | kU;
  write_cr3(address(directory));
  user_segments(kAlias);
  write_cr0(read_cr0() | kCr0Pg | kCr0Wp);
}
void pae_on() {
  for (u32 i = 0; i < 2048; ++i) {
    pae_low[i / 512][i % 512] = u64{i} << 12 | kP | kW;
    pae_alias[i / 512][i % 512] = u64{i} << 12 | kP | kW | kU;
  }
  memset(pae_directory, 0, sizeof pae_directory);
  for (u32 i = 0; i < 4; ++i) {
    pdpt[i] = address(pae_directory[i]) | kP;
    pae_directory[0][i] = address(pae_low[i]) | kP | kW;
    pae_directory[1][i] = address(pae_alias[i]) | kP | kW | kU;
  }
  memset(pae_test, 0, sizeof pae_test);
  pae_directory[2][0] = address(pae_test) | kP | kW | kU;
  write_cr4(read_cr4() | kCr4Pae);
  write_cr3(address(pdpt));
  user_segments(kAlias);
  write_cr0(read_cr0() | kCr0Pg | kCr0Wp);
}
void off() {
  write_cr0(read_cr0() & ~(kCr0Pg | kCr0Wp));
  write_cr4(read_cr4() & ~(kCr4Pae | kCr4Pse | kCr4Pge));
  user_segments(0);
}
Trap access(int kind, bool in_user) {
  const u32 at = in_user ? kAt - kAlias : kAt;  // a segment offset
  const auto read = [=] { asm volatile("movb (%0),%%al" ::"r"(at) : "eax"); };
  const auto write = [=] { asm volatile("movb $0xc3,(%0)" ::"r"(at) : "memory"); };
  const auto exec = [=] { asm volatile("call *%0" ::"r"(at) : "memory"); };
  if (kind == 0) return in_user ? user(read) : attempt(read);
  if (kind == 1) return in_user ? user(write) : attempt(write);
  return in_user ? user(exec) : attempt(exec);
}
Word verdict(bool p, bool w, bool u, bool nx, int kind, bool in_user, bool wp, bool nxe) {
  const Word code = (kind == 1 ? 2 : 0) | (in_user ? 4 : 0) | (kind == 2 && nxe ? 16 : 0);
  if (!p) return code;
  bool allowed = in_user ? u && (kind != 1 || w) : kind != 1 || w || !wp;
  if (kind == 2 && nx) allowed = false;
  return allowed ? kNoTrap : code | 1;
}
void matrix(bool pae, bool nxe) {
  page[0] = 0xc3;
  const u32 combinations = pae ? 128 : 64;
  for (u32 bits = 0; bits < combinations; ++bits) {
    const bool p = bits & 1, w = bits & 2, u = bits & 4, p2 = bits & 8, w2 = bits & 16, u2 = bits & 32,
               nx = bits & 64;
    if (nx && !nxe) continue;
    const u32 leaf = address(page) | (bits & 7), upper = bits >> 3 & 7;
    if (pae) {
      pae_test[0] = leaf | (nx ? u64{1} << 63 : 0);
      pae_directory[2][0] = address(pae_test) | upper;
    } else {
      test_table[0] = leaf;
      directory[kAt >> 22] = address(test_table) | upper;
    }
    for (int kind = 0; kind < 3; ++kind) {
      for (int in_user = 0; in_user < 2; ++in_user) {
        write_cr3(read_cr3());
        const bool wp = read_cr0() & kCr0Wp;
        const Trap t = access(kind, in_user);
        const Word want = verdict(p && p2, w && w2, u && u2, nx, kind, in_user, wp, nxe);
        const bool good = want == kNoTrap ? t.vector == kNoTrap || t.vector == kUserExit
                                          : t.vector == kPF && t.error == want && t.cr2 == kAt;
        if (!good) {
          fail("trap << 8 | error", t.vector << 8 | t.error, want == kNoTrap ? want : kPF << 8 | want);
          print("#     bits ");
          print_hex(bits << 8 | static_cast<u32>(kind) << 4 | static_cast<u32>(in_user));
          print("\n");
        }
      }
    }
  }
}
bool has_nx() {
  return cpuid(0x80000001).d >> 20 & 1;
}
}  // namespace

TEST(paging32_permissions) {
  legacy_on();
  matrix(false, false);
  write_cr0(read_cr0() & ~kCr0Wp);
  matrix(false, false);
  off();
}
TEST(paging_pae_permissions) {
  pae_on();
  matrix(true, false);
  off();
}
TEST(paging_pae_permissions_nx) {
  if (!has_nx()) skip("no NX");
  write_msr(kMsrEfer, read_msr(kMsrEfer) | kEferNxe);
  pae_on();
  matrix(true, true);
  off();
  write_msr(kMsrEfer, read_msr(kMsrEfer) & ~kEferNxe);
}
TEST(paging32_accessed_dirty_and_pse) {
  legacy_on();
  test_table[0] = address(page) | kP | kW;
  directory[kAt >> 22] = address(test_table) | kP | kW;
  write_cr3(read_cr3());
  access(0, false);
  expect(static_cast<volatile u32&>(test_table[0]) & (kA | kD), kA, "read: A");
  expect(static_cast<volatile u32&>(directory[kAt >> 22]) & (kA | kD), kA, "directory: A");
  access(1, false);
  expect(static_cast<volatile u32&>(test_table[0]) & (kA | kD), kA | kD, "write: D");
  write_cr4(read_cr4() | kCr4Pse);
  directory[(kAt >> 22) + 1] = 0x400000 | kP | kW | kPs;
  write_cr3(read_cr3());
  *reinterpret_cast<volatile u32*>(0x412340) = 0;
  *reinterpret_cast<volatile u32*>(kAt + 0x400000 + 0x12340) = 0x44;
  const u32 seen = *reinterpret_cast<volatile u32*>(0x412340);
  const u32 entry = static_cast<volatile u32&>(directory[(kAt >> 22) + 1]);
  directory[(kAt >> 22) + 1] = 0x400000 | kP | kW | kPs | 1 << 21;
  write_cr3(read_cr3());
  const Trap t = attempt([] { (void)*reinterpret_cast<volatile u32*>(kAt + 0x400000); });
  off();
  expect(seen, 0x44, "4 MiB page");
  expect(entry & (kA | kD), kA | kD, "A and D of a 4 MiB page");
  expect_trap(t, kPF, 9, "PSE-36: bit 21 is reserved");
}
TEST(paging32_pse_36) {
  if (!(cpuid(1).d & 1 << 17)) skip("no PSE-36");
  // Bits 13-20 are address bits 32-39: no memory there, so a read gives all ones, not page 0.
  legacy_on();
  write_cr4(read_cr4() | kCr4Pse);
  *reinterpret_cast<volatile u32*>(0x400010) = 0x1234;
  directory[(kAt >> 22) + 1] = 0x400000 | kP | kW | kPs | 1 << 13;
  write_cr3(read_cr3());
  const u32 v = *reinterpret_cast<volatile u32*>(kAt + 0x400010);
  off();
  expect_true(v != 0x1234, "4 GiB higher");
}
TEST(paging_pae_pdpte_rules) {
  pae_on();
  // PDPTEs are loaded with CR3: a later change has no effect until the next load.
  pae_test[0] = address(page) | kP | kW;
  write_cr3(read_cr3());
  const u64 saved = pdpt[2];
  pdpt[2] = 0;
  expect_trap(access(0, false), kNoTrap, "still the loaded PDPTE");
  write_cr3(read_cr3());
  expect_trap(access(0, false), kPF, 0, "gone after the CR3 load");
  pdpt[2] = saved | 2;  // reserved bit 1
  expect_trap(attempt([] { write_cr3(read_cr3()); }), kGP, 0, "reserved bit in a PDPTE");
  pdpt[2] = saved;
  write_cr3(read_cr3());
  off();
}
TEST(paging_pae_large_page) {
  pae_on();
  pae_directory[2][1] = 0x400000 | kP | kW | kPs;
  write_cr3(read_cr3());
  *reinterpret_cast<volatile u32*>(kAt + 0x200000 + 0x20) = 0x99;
  const u64 entry = static_cast<volatile u64&>(pae_directory[2][1]);
  off();
  expect(*reinterpret_cast<volatile u32*>(0x400020), 0x99, "2 MiB");
  expect(entry & (kA | kD), kA | kD, "A, D");
}
TEST(paging32_global_pages) {
  legacy_on();
  write_cr4(read_cr4() | kCr4Pge);
  page[4] = 1;
  other[4] = 2;
  directory[kAt >> 22] = address(test_table) | kP | kW;
  test_table[0] = address(page) | kP | kW;
  write_cr3(read_cr3());
  const u8 a = *reinterpret_cast<volatile u8*>(kAt + 4);
  test_table[0] = address(other) | kP | kW;
  write_cr3(read_cr3());
  const u8 b = *reinterpret_cast<volatile u8*>(kAt + 4);
  off();
  expect(a, 1, "first");
  expect(b, 2, "after CR3");
}
TEST(paging32_smep) {
  if (!(cpuid7().b & 1 << 7)) skip("no SMEP");
  legacy_on();
  page[0] = 0xc3;
  test_table[0] = address(page) | kP | kW | kU;
  directory[kAt >> 22] = address(test_table) | kP | kW | kU;
  write_cr4(read_cr4() | kCr4Smep);
  write_cr3(read_cr3());
  const Trap t = access(2, false);
  write_cr4(read_cr4() & ~kCr4Smep);
  off();
  expect_trap(t, kPF, 0x11, "supervisor fetch from a user page");
}
