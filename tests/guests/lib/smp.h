// Local APIC and application processors of the 64-bit kernel. SDM 3A chapter
// 10 (APIC) and 8.4 (start-up by INIT and SIPI).
#pragma once
#include "arch.h"

constexpr Word kApicBase = 0xfee00000;
enum : Word {
  kApicId = 0x20,
  kApicVersion = 0x30,
  kApicTpr = 0x80,
  kApicPpr = 0xa0,
  kApicEoi = 0xb0,
  kApicLdr = 0xd0,
  kApicDfr = 0xe0,
  kApicSvr = 0xf0,
  kApicIsr = 0x100,
  kApicTmr = 0x180,
  kApicIrr = 0x200,
  kApicEsr = 0x280,
  kApicIcrLow = 0x300,
  kApicIcrHigh = 0x310,
  kApicLvtTimer = 0x320,
  kApicLvt0 = 0x350,
  kApicTimerInitial = 0x380,
  kApicTimerCurrent = 0x390,
  kApicTimerDivide = 0x3e0,
};
inline u32 apic_read(Word reg) {
  return *reinterpret_cast<volatile u32*>(kApicBase + reg);
}
inline void apic_write(Word reg, u32 v) {
  *reinterpret_cast<volatile u32*>(kApicBase + reg) = v;
}
void apic_enable();  // software enable, spurious vector 0xff
void apic_ipi(unsigned apic_id, u32 icr_low);
void apic_eoi();

// Starts every application processor once; the number of processors, 1 to 64.
unsigned start_processors();
// Runs fn(arg) on processor number n (1 .. count-1); returns at once.
void run_on(unsigned n, void (*fn)(void*), void* arg);
void wait_for(unsigned n);  // until its function has returned
void wait_all();
unsigned processor_count();
unsigned apic_id_of(unsigned n);
// Runs f(n) on every processor including this one (n = 0), and waits.
template <class F>
inline void on_all(F f) {
  static F shared = f;
  copy(&shared, &f, sizeof f);
  barrier();
  for (unsigned i = 1; i < processor_count(); ++i)
    run_on(
        i, [](void* n) { shared(static_cast<unsigned>(reinterpret_cast<Word>(n))); },
        reinterpret_cast<void*>(Word{i}));
  shared(0u);
  wait_all();
}
void forget_processor(unsigned n);  // the last one, after INIT
void delay_us(unsigned us);         // by the PIT, channel 2
