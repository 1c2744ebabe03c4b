#include "paging.h"
#include "smp.h"
#include "test.h"

extern "C" u64 pml4[512], pdpt[512], pd[2048];
extern "C" u8 kernel_end[];

namespace {
alignas(4096) u64 low_tables[2][512];    // 0-4 MiB one to one
alignas(4096) u64 alias_tables[2][512];  // the same as user pages
alignas(4096) u64 alias_directory[512];
#ifndef POOL_PAGES  // bench/micro.py wants more
#define POOL_PAGES 160
#endif
alignas(4096) u8 pool[POOL_PAGES][4096];
unsigned pool_used;
u64 boot_cr4;
}  // namespace

void* new_page() {
  if (pool_used == sizeof pool / 4096) {
    fail_text("test kernel: page pool is empty");
    pool_used = 0;
  }
  void* page = pool[pool_used++];
  memset(page, 0, 4096);
  return page;
}
u64* new_table() {
  return static_cast<u64*>(new_page());
}
void reset_pages() {
  pool_used = 0;
}

void flush_all() {
  const Word cr4 = read_cr4();
  write_cr4(cr4 ^ kCr4Pge);
  write_cr4(cr4);
  write_cr3(read_cr3());
}

u64* entry_for(Word linear, int level) {
  u64* table = reinterpret_cast<u64*>(read_cr3() & kPageMask);
  for (int l = read_cr4() & kCr4La57 ? 5 : 4; l > level; --l) {
    u64& e = table[(linear >> (12 + 9 * (l - 1))) & 511];
    if (!(e & kP)) e = reinterpret_cast<Word>(new_table()) | kP | kW | kU;
    table = reinterpret_cast<u64*>(e & kPageMask);
  }
  return &table[(linear >> (12 + 9 * (level - 1))) & 511];
}

void map_page(Word linear, u64 physical, u64 bits) {
  *entry_for(linear, 1) = physical | bits;
  invlpg(reinterpret_cast<void*>(linear));
}

namespace {
// What a failed test left pending or in service must not reach the next one.
void drain_interrupts() {
  out8(0x21, 0xff);
  out8(0xa1, 0xff);
  if ((read_msr(kMsrApicBase) & 0xc00) == 0xc00) write_msr(kMsrApicBase, read_msr(kMsrApicBase) & ~0xc00ull);
  write_msr(kMsrApicBase, read_msr(kMsrApicBase) | 0x800);
  apic_enable();
  apic_write(kApicLvtTimer, 0x10000);
  apic_write(kApicTimerInitial, 0);
  for (int i = 0; i < 16; ++i) apic_eoi();
  swallow_interrupts = true;
  sti();
  for (int i = 0; i < 200; ++i) pause();
  cli();
  swallow_interrupts = false;
}
}  // namespace

void paging_setup() {
  for (u64 i = 0; i < 1024; ++i) {
    low_tables[i / 512][i % 512] = i << 12 | kP | kW;
    alias_tables[i / 512][i % 512] = i << 12 | kP | kW | kU;
  }
  for (u64 i = 0; i < 2; ++i) pd[i] = reinterpret_cast<Word>(low_tables[i]) | kP | kW;
  // The gigabyte at kUserAlias keeps its one-to-one 2 MiB pages except the first two.
  for (u64 i = 0; i < 512; ++i) alias_directory[i] = (kUserAlias + (i << 21)) | kP | kW | kPs;
  for (u64 i = 0; i < 2; ++i) alias_directory[i] = reinterpret_cast<Word>(alias_tables[i]) | kP | kW | kU;
  pdpt[1] = reinterpret_cast<Word>(alias_directory) | kP | kW | kU;
  boot_cr4 = read_cr4() | kCr4Osfxsr | kCr4Osxmmexcpt;
  write_cr3(read_cr3());
}

void restore_defaults() {
  cli();
  write_dr7(0x400);
  write_dr6(0xffff0ff0);
  write_cr0(kCr0Pg | kCr0Wp | kCr0Ne | 0x10 | kCr0Mp | kCr0Pe);
  write_cr3(reinterpret_cast<Word>(pml4));
  write_cr4(boot_cr4);
  for (int i = 1; i < 512; ++i) pml4[i] = 0;
  write_msr(kMsrEfer, kEferSce | kEferLme | kEferLma | kEferNxe);
  trap_setup_again();
  flush_all();
  drain_interrupts();
  reset_pages();
}
