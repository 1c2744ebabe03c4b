#include "smp.h"
#include "test.h"

extern "C" {
extern u8 ap_start[], ap_start_end[];
extern u32 ap_cr3, ap_cr4;
void ap_main(u8* stack_top);
}

namespace {
struct Processor {
  void (*volatile fn)(void*);
  void* volatile arg;
  volatile bool busy;
  unsigned apic_id;
};
Processor processors[kMaxCpus];
volatile unsigned count = 1;
bool started;
}  // namespace

void apic_enable() {
  write_msr(kMsrApicBase, read_msr(kMsrApicBase) | 0x800);
  apic_write(kApicSvr, 0x1ff);
  apic_write(kApicTpr, 0);
}

void apic_ipi(unsigned apic_id, u32 icr_low) {
  apic_write(kApicIcrHigh, apic_id << 24);
  apic_write(kApicIcrLow, icr_low);
  while (apic_read(kApicIcrLow) & 0x1000) pause();
}

void apic_eoi() {
  apic_write(kApicEoi, 0);
}

void delay_us(unsigned us) {
  while (us) {
    const unsigned step = us < 50000 ? us : 50000;
    const unsigned ticks = step * 1193 / 1000 + 1;
    out8(0x61, static_cast<u8>((in8(0x61) & ~2) | 1));
    out8(0x43, 0xb0);
    out8(0x42, static_cast<u8>(ticks));
    out8(0x42, static_cast<u8>(ticks >> 8));
    while (!(in8(0x61) & 0x20)) pause();
    us -= step;
  }
}

extern "C" void ap_main(u8* stack_top) {
  const unsigned id = cpu_index();
  trap_setup_ap(id, stack_top);
  apic_enable();
  const unsigned n = __atomic_fetch_add(&count, 1, __ATOMIC_SEQ_CST);
  Processor& self = processors[n];
  self.apic_id = id;
  for (;;) {
    cli();
    while (!self.busy) asm volatile("sti; hlt; cli" ::: "memory");
    const Trap t = attempt([&] { self.fn(self.arg); });
    if (t.vector != kNoTrap) {
      fail("exception on another processor", t.vector, kNoTrap);
      write_cr3(ap_cr3);
    }
    self.busy = false;
  }
}

unsigned processor_count() {
  return count;
}
unsigned apic_id_of(unsigned n) {
  return processors[n].apic_id;
}

unsigned start_processors() {
  apic_enable();
  if (started) return count;
  started = true;
  processors[0].apic_id = cpu_index();
  ap_cr3 = static_cast<u32>(read_cr3());
  ap_cr4 = static_cast<u32>(read_cr4());
  copy(reinterpret_cast<void*>(0x8000), ap_start, static_cast<Word>(ap_start_end - ap_start));
  apic_ipi(0, 0xc4500);  // INIT, all but self
  delay_us(10000);
  for (int i = 0; i < 2; ++i) {
    apic_ipi(0, 0xc4608);  // SIPI, page 8
    delay_us(2000);
  }
  // No table to ask: they have all come when the number is stable for 0.1 s.
  for (unsigned seen = 0, quiet = 0; quiet < 4; ++quiet) {
    delay_us(25000);
    if (count != seen) seen = count, quiet = 0;
  }
  return count;
}

void run_on(unsigned n, void (*fn)(void*), void* arg) {
  Processor& p = processors[n];
  while (p.busy) pause();
  p.fn = fn;
  p.arg = arg;
  __atomic_store_n(&p.busy, true, __ATOMIC_SEQ_CST);
  apic_ipi(p.apic_id, kWakeVector);
}

void wait_for(unsigned n) {
  while (processors[n].busy) pause();
}
void wait_all() {
  for (unsigned i = 1; i < count; ++i) wait_for(i);
}

// A test has sent INIT to the last processor: it waits for a SIPI from now on.
void forget_processor(unsigned n) {
  processors[n].busy = false;
  if (n + 1 == count) count = n;
}
