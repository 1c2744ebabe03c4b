// MONITOR and MWAIT, and the registers of memory types. SDM 3A 8.10.4, 11.11
// (MTRRs), 11.12 (PAT), SDM 2B MONITOR, MWAIT.
#include "smp.h"
#include "test.h"

namespace {
void need_monitor() {
  if (!(cpuid(1).c & 8)) skip("no MONITOR");
}
void monitor(const volatile void* at, Word extensions = 0) {
  asm volatile("monitor" : : "a"(at), "c"(extensions), "d"(Word{0}) : "memory");
}
void mwait(Word extensions = 0) {
  asm volatile("mwait" : : "a"(Word{0}), "c"(extensions) : "memory");
}
alignas(64) volatile u32 line[32];
volatile unsigned interrupts;

// One interrupt of the local APIC's timer, counted.
void start_timer() {
  apic_enable();
  on_trap(0x91, [](Frame&) {
    interrupts = interrupts + 1;
    apic_eoi();
    return true;
  });
  interrupts = 0;
  apic_write(kApicTimerDivide, 0xb);
  apic_write(kApicLvtTimer, 0x91);
  apic_write(kApicTimerInitial, 1000000);
}
}  // namespace

TEST(mwait_wakes_by_interrupt) {
  need_monitor();
  start_timer();
  sti();
  while (!interrupts) {
    monitor(line);
    if (!interrupts) mwait();
  }
  cli();
  expect(interrupts, 1, "the timer's interrupt");
  apic_write(kApicLvtTimer, 0x10000);
}

TEST(mwait_breaks_on_masked_interrupts) {
  need_monitor();
  if (!(cpuid(5).c & 2)) skip("no such extension");
  start_timer();
  while (!(apic_read(kApicIrr + 0x40) >> 17 & 1)) {  // vector 0x91: register 4, bit 17
    monitor(line);
    if (!(apic_read(kApicIrr + 0x40) >> 17 & 1)) mwait(1);
  }
  expect(interrupts, 0, "IF was clear");
  sti();
  asm volatile("nop");
  cli();
  expect(interrupts, 1, "delivered afterwards");
  apic_write(kApicLvtTimer, 0x10000);
}

TEST(monitor_and_mwait_faults) {
  need_monitor();
  expect_trap(attempt([] { monitor(line, 1); }), kGP, 0, "MONITOR extensions");
  expect_trap(attempt([] { monitor(line), mwait(0x100); }), kGP, 0, "MWAIT extensions");
  expect_trap(attempt([] { monitor(reinterpret_cast<void*>(0x800000000000)); }), kGP, 0, "non-canonical");
}

TEST(smp_mwait_wakes_by_store) {
  need_monitor();
  if (start_processors() < 2) skip("one processor");
  static volatile u32 seen;
  line[0] = 0;
  seen = 0;
  run_on(
      1,
      [](void*) {
        for (u32 i = 1; i <= 50; ++i) {
          while (line[0] < i) {
            monitor(line);
            if (line[0] < i) mwait();
          }
          seen = i;
        }
      },
      nullptr);
  for (u32 i = 1; i <= 50; ++i) {
    delay_us(200);
    line[0] = i;
    for (unsigned w = 0; seen != i && w < 5000; ++w) delay_us(1000);
    if (!expect(seen, i, "woken by the store")) return;
  }
  wait_for(1);
}

TEST(pat_and_mtrrs_hold) {
  const u64 pat = read_msr(kMsrPat);
  write_msr(kMsrPat, 0x0001040506070001);
  expect(read_msr(kMsrPat), 0x0001040506070001, "PAT");
  expect_trap(attempt([] { write_msr(kMsrPat, 0x0300000000000000); }), kGP, 0, "PAT type 3");
  write_msr(kMsrPat, pat);
  const u64 capabilities = read_msr(0xfe);
  expect_true((capabilities & 0xff) >= 8, "variable ranges");
  expect(capabilities >> 8 & 1, 1, "fixed ranges");
  const u32 last = 0x200 + 2 * (static_cast<u32>(capabilities & 0xff) - 1);
  const u64 base = read_msr(last), mask = read_msr(last + 1), type = read_msr(0x2ff), fixed = read_msr(0x250);
  write_msr(last, 0xc0000006);
  write_msr(last + 1, 0xffff00000 | 0x800);
  expect(read_msr(last), 0xc0000006, "base");
  expect(read_msr(last + 1), 0xffff00800, "mask");
  write_msr(last, base);
  write_msr(last + 1, mask);
  write_msr(0x250, 0x0606060505050404);
  expect(read_msr(0x250), 0x0606060505050404, "fixed range");
  write_msr(0x250, fixed);
  expect_trap(attempt([] { write_msr(0x250, 2); }), kGP, 0, "fixed range, type 2");
  expect_trap(attempt([] { write_msr(0x2ff, 0xc02); }), kGP, 0, "default type 2");
  expect_trap(attempt([] { write_msr(0x2ff, 1 << 9); }), kGP, 0, "default type, reserved bit");
  expect_trap(attempt([] { write_msr(0x200, 1ull << 60); }), kGP, 0, "base beyond the physical width");
  expect_trap(attempt([] { write_msr(0xfe, 0); }), kGP, 0, "capabilities are read-only");
  expect(read_msr(0x2ff), type, "default type as before");
}
