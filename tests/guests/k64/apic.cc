// Local APIC: registers, timer, self IPIs, priorities, interrupt shadows, NMI,
// x2APIC; the 8259 and the PIT as a source. SDM 3A chapter 10.
#include "smp.h"
#include "test.h"

namespace {
volatile unsigned count;
volatile Word last_ip;
bool counting(Frame& f) {
  count = count + 1;
  last_ip = f.ip;
  apic_eoi();
  return true;
}
void wait_count(unsigned n, unsigned ms) {
  sti();
  for (unsigned i = 0; count < n && i < ms; ++i) delay_us(1000);
  cli();
}
}  // namespace

TEST(apic_registers) {
  apic_enable();
  expect(read_msr(kMsrApicBase) & 0x900, 0x900, "enabled, boot processor");
  expect(read_msr(kMsrApicBase) & ~0xfffull, kApicBase, "base");
  expect(apic_read(kApicId) >> 24, cpuid(1).b >> 24, "id is CPUID's");
  const u32 version = apic_read(kApicVersion);
  expect_true((version & 0xff) >= 0x10 && (version & 0xff) <= 0x15, "integrated APIC");
  expect_true((version >> 16 & 0xff) >= 3, "LVT entries");
  apic_write(kApicTpr, 0x35);
  expect(apic_read(kApicTpr), 0x35, "TPR");
  expect(read_cr8(), 3, "CR8 is TPR[7:4]");
  write_cr8(0);
  expect(apic_read(kApicTpr), 0, "TPR by CR8");
}

TEST(apic_timer_one_shot) {
  apic_enable();
  on_trap(0x91, counting);
  count = 0;
  apic_write(kApicTimerDivide, 0xb);
  apic_write(kApicLvtTimer, 0x91);
  apic_write(kApicTimerInitial, 1000000);
  wait_count(1, 1000);
  expect(count, 1, "one interrupt");
  expect(apic_read(kApicTimerCurrent), 0, "current count");
  sti();
  delay_us(20000);
  cli();
  expect(count, 1, "no second one");
}

TEST(apic_timer_periodic) {
  apic_enable();
  on_trap(0x91, counting);
  count = 0;
  apic_write(kApicTimerDivide, 0xb);
  apic_write(kApicLvtTimer, 0x20091);
  apic_write(kApicTimerInitial, 1000000);
  wait_count(5, 2000);
  apic_write(kApicTimerInitial, 0);
  expect_true(count >= 5, "five interrupts");
  apic_write(kApicLvtTimer, 0x10091);
}

TEST(apic_timer_masked) {
  apic_enable();
  on_trap(0x91, counting);
  count = 0;
  apic_write(kApicLvtTimer, 0x10091);
  apic_write(kApicTimerInitial, 1000);
  wait_count(1, 5);
  expect(count, 0, "none");
}

TEST(apic_tsc_deadline) {
  if (!(cpuid(1).c & 1 << 24)) skip("no TSC deadline");
  apic_enable();
  on_trap(0x91, counting);
  count = 0;
  apic_write(kApicLvtTimer, 0x40091);
  asm volatile("mfence");
  write_msr(kMsrTscDeadline, rdtsc() + 2000000);
  expect_true(read_msr(kMsrTscDeadline) != 0, "armed");
  wait_count(1, 1000);
  expect(count, 1, "one interrupt");
  expect(read_msr(kMsrTscDeadline), 0, "disarmed");
  write_msr(kMsrTscDeadline, 1);
  wait_count(2, 1000);
  expect(count, 2, "a deadline in the past fires at once");
  apic_write(kApicLvtTimer, 0x10000);
}

TEST(apic_self_ipi) {
  apic_enable();
  on_trap(0x92, counting);
  count = 0;
  for (unsigned i = 1; i <= 100; ++i) {
    apic_ipi(0, 0x40092);
    sti();
    for (int k = 0; k < 1000 && count != i; ++k) pause();
    cli();
    if (!expect(count, i, "delivered")) return;
  }
}

TEST(apic_priority_and_tpr) {
  static unsigned order[4], taken;
  static TrapHandler const note = [](Frame& f) {
    order[taken++ & 3] = static_cast<unsigned>(f.vector);
    apic_eoi();
    return true;
  };
  apic_enable();
  taken = 0;
  on_trap(0x93, note);
  on_trap(0xa3, note);
  on_trap(0xc3, note);
  apic_ipi(0, 0x40093);
  apic_ipi(0, 0x400c3);
  apic_ipi(0, 0x400a3);
  expect(apic_read(kApicIrr + 0x40) >> 19 & 1, 1, "0x93 in IRR");
  write_cr8(0xb);
  sti();
  asm volatile("nop; nop");
  for (int k = 0; k < 1000; ++k) pause();
  cli();
  expect(taken, 1, "TPR class 0xb lets 0xc3 through only");
  expect(order[0], 0xc3, "highest");
  write_cr8(0);
  sti();
  for (int k = 0; k < 1000 && taken < 3; ++k) pause();
  cli();
  expect(taken, 3, "the others after lowering TPR");
  expect(order[1], 0xa3, "second");
  expect(order[2], 0x93, "third");
}

TEST(apic_isr_blocks_until_eoi) {
  static unsigned depth, nested;
  apic_enable();
  depth = nested = 0;
  on_trap(0x94, [](Frame&) {
    if (depth) nested = nested + 1;
    depth = depth + 1;
    if (count == 0) {
      count = 1;
      apic_ipi(0, 0x40094);
      sti();
      for (int k = 0; k < 1000; ++k) pause();
      cli();
      expect(apic_read(kApicIsr + 0x40) >> 20 & 1, 1, "in service");
    }
    depth = depth - 1;
    apic_eoi();
    return true;
  });
  count = 0;
  apic_ipi(0, 0x40094);
  sti();
  for (int k = 0; k < 2000; ++k) pause();
  cli();
  expect(nested, 0, "the same vector waits for EOI");
}

TEST(shadow_sti) {
  // A pending interrupt is taken after the instruction behind STI.
  apic_enable();
  on_trap(0x95, counting);
  count = 0;
  apic_ipi(0, 0x40095);
  Word next;
  asm volatile("lea 1f(%%rip),%0; sti; nop; 1: nop; nop; cli" : "=r"(next) : : "memory");
  expect(count, 1, "taken");
  expect(last_ip, next, "one instruction later");
  count = 0;
  apic_ipi(0, 0x40095);
  asm volatile("sti; cli; nop" ::: "memory");
  expect(count, 0, "sti; cli leaves no window");
  asm volatile("sti; nop; cli" ::: "memory");
  expect(count, 1, "sti; nop; cli does");
}

TEST(shadow_sti_hlt) {
  apic_enable();
  on_trap(0x95, counting);
  count = 0;
  apic_ipi(0, 0x40095);
  asm volatile("sti; hlt; cli" ::: "memory");  // would sleep for ever if the interrupt came before HLT
  expect(count, 1, "taken");
}

TEST(shadow_mov_ss) {
  apic_enable();
  on_trap(0x95, counting);
  count = 0;
  const Word ss = kSelData;
  apic_ipi(0, 0x40095);
  Word next;
  asm volatile("lea 1f(%%rip),%0; sti; mov %1,%%ss; nop; 1: nop; cli" : "=&r"(next) : "r"(ss) : "memory");
  expect(count, 1, "taken");
  // The shadow of MOV SS may or may not extend that of STI.
  expect_true(last_ip == next || last_ip == next - 1, "after STI's or MOV SS's shadow");
}

TEST(popf_and_iret_open_no_shadow) {
  apic_enable();
  on_trap(0x95, counting);
  count = 0;
  apic_ipi(0, 0x40095);
  Word next;
  asm volatile("lea 1f(%%rip),%0; pushq $0x202; popfq; 1: nop; cli" : "=&r"(next) : : "memory", "cc");
  expect(count, 1, "taken");
  expect(last_ip, next, "directly after POPF");
}

TEST(nmi) {
  static unsigned nmis;
  nmis = 0;
  apic_enable();
  on_trap(kNMI, [](Frame&) {
    if (++nmis == 1) {
      apic_ipi(0, 0x4400 | 0x00000);  // a second one, to itself by id: blocked until IRET
      for (int k = 0; k < 1000; ++k) pause();
      expect(nmis, 1, "blocked inside the handler");
    }
    return true;
  });
  apic_ipi(cpuid(1).b >> 24, 0x4400);
  for (int k = 0; k < 2000 && nmis < 2; ++k) pause();
  expect(nmis, 2, "both, with IF clear");
}

TEST(hlt_wakes_by_timer) {
  apic_enable();
  on_trap(0x91, counting);
  for (unsigned i = 0; i < 20; ++i) {
    count = 0;
    apic_write(kApicTimerDivide, 0xb);
    apic_write(kApicLvtTimer, 0x91);
    apic_write(kApicTimerInitial, 100000);
    while (!count) asm volatile("sti; hlt; cli" ::: "memory");
  }
  apic_write(kApicLvtTimer, 0x10000);
}

TEST(x2apic) {
  if (!(cpuid(1).c & 1 << 21)) skip("no x2APIC");
  apic_enable();
  expect_trap(attempt([] { read_msr(0x802); }), kGP, 0, "MSRs in xAPIC mode");
  const u32 id = apic_read(kApicId) >> 24;
  write_msr(kMsrApicBase, read_msr(kMsrApicBase) | 0xc00);
  expect(read_msr(0x802), id, "id");
  expect_trap(attempt([] { write_msr(0x802, 5); }), kGP, 0, "id is read-only");
  expect_trap(attempt([] { write_msr(0x80b, 1); }), kGP, 0, "EOI other than 0");
  expect_trap(attempt([] { write_msr(0x808, 0x100); }), kGP, 0, "TPR reserved");
  expect_trap(attempt([] { read_msr(0x80e); }), kGP, 0, "no DFR");
  on_trap(0x92, [](Frame&) {
    count = count + 1;
    write_msr(0x80b, 0);
    return true;
  });
  count = 0;
  write_msr(0x83f, 0x92);
  sti();
  for (int k = 0; k < 1000 && !count; ++k) pause();
  cli();
  expect(count, 1, "self IPI register");
  expect(read_msr(0x80d), u64{id >> 4} << 16 | 1u << (id & 15), "LDR");
  expect_trap(attempt([] { write_msr(kMsrApicBase, read_msr(kMsrApicBase) & ~0x800ull); }), kGP, 0,
              "x2APIC to invalid state");
  write_msr(kMsrApicBase, read_msr(kMsrApicBase) & ~0xc00ull);
  write_msr(kMsrApicBase, read_msr(kMsrApicBase) | 0x800ull);
  apic_enable();
}

TEST(pic_and_pit) {
  static volatile unsigned ticks;
  ticks = 0;
  on_trap(0xd0, [](Frame&) {
    ticks = ticks + 1;
    out8(0x20, 0x20);
    return true;
  });
  apic_enable();
  apic_write(kApicLvt0, 0x700);  // ExtINT
  out8(0x20, 0x11);
  out8(0x21, 0xd0);
  out8(0x21, 4);
  out8(0x21, 1);
  out8(0xa0, 0x11);
  out8(0xa1, 0xd8);
  out8(0xa1, 2);
  out8(0xa1, 1);
  out8(0x21, 0xfe);
  out8(0xa1, 0xff);
  out8(0x43, 0x34);
  out8(0x40, 0xa9);
  out8(0x40, 4);  // 1 ms
  sti();
  for (unsigned i = 0; ticks < 10 && i < 1000; ++i) delay_us(1000);
  cli();
  out8(0x21, 0xff);
  apic_write(kApicLvt0, 0x10700);
  expect_true(ticks >= 10, "ten ticks");
}

TEST(tsc_goes_forward) {
  u64 last = rdtsc();
  for (int i = 0; i < 1000; ++i) {
    const u64 now = rdtsc();
    if (now < last) return fail("tsc", now, last);
    last = now;
  }
  const u64 before = rdtsc();
  delay_us(10000);
  expect_true(rdtsc() - before > 1000000, "more than a million cycles in 10 ms");
}

TEST(lint_icr_reserved_vector_sets_esr) {
  apic_enable();
  apic_write(kApicEsr, 0);
  apic_write(kApicIcrLow, 0x40005);  // vector 5 is illegal
  apic_write(kApicEsr, 0);
  expect(apic_read(kApicEsr) & 0x60, 0x20, "send illegal vector");
}
