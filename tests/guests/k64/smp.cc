// Several processors: start-up, atomics, split locks, IPIs, TLB shoot-down,
// memory order. SDM 3A 8.1 (locked operations), 8.2 (order), 4.10.5.
#include "smp.h"

#include "paging.h"
#include "test.h"

namespace {
volatile u64 counter __attribute__((aligned(64)));
alignas(64) volatile u8 line[256];
constexpr Word kAt = 0x54000000000;
constexpr unsigned kTurns = 20000;
unsigned need(unsigned n) {
  if (start_processors() < n) skip("too few processors");
  return processor_count();
}
}  // namespace

TEST(smp_start) {
  const unsigned n = start_processors();
  if (n < 2) skip("one processor");
  static u8 seen[kMaxCpus];
  memset(seen, 0, sizeof seen);
  on_all([](unsigned i) { seen[i] = static_cast<u8>(cpu_index() + 1); });
  for (unsigned i = 0; i < n; ++i) {
    expect(seen[i], apic_id_of(i) + 1, "ran on its own processor");
    for (unsigned k = 0; k < i; ++k) expect_true(seen[k] != seen[i], "ids differ");
  }
  if (cpuid_max() >= 4) expect_true((cpuid(1).b >> 16 & 0xff) >= n, "CPUID logical processor count");
}

TEST(smp_lock_xadd) {
  const unsigned n = need(2);
  counter = 0;
  on_all([](unsigned) {
    for (unsigned i = 0; i < kTurns; ++i)
      asm volatile("mov $1,%%eax; lock xadd %%rax,%0" : "+m"(counter) : : "rax", "cc");
  });
  expect(counter, u64{n} * kTurns, "sum");
}

TEST(smp_lock_all_forms) {
  const unsigned n = need(2);
  counter = 0;
  on_all([](unsigned) {
    for (unsigned i = 0; i < kTurns; ++i) {
      asm volatile("lock incl %0; lock addl $2,%0; lock subl $1,%0; lock decl %0" : "+m"(counter) : : "cc");
      asm volatile(
          "lock incq %0; lock addw $0,%0; lock orb $0,%0; lock xorl $0,%0; lock andq $-1,%0; lock addq $0,%0"
          : "+m"(counter)
          :
          : "cc");
    }
  });
  expect(counter, u64{n} * kTurns * 2, "sum");
}

TEST(smp_lock_cmpxchg) {
  const unsigned n = need(2);
  counter = 0;
  on_all([](unsigned) {
    for (unsigned i = 0; i < kTurns; ++i) {
      u64 old = counter;
      while (!__atomic_compare_exchange_n(const_cast<u64*>(&counter), &old, old + 3, false, __ATOMIC_SEQ_CST,
                                          __ATOMIC_SEQ_CST)) {
      }
    }
  });
  expect(counter, u64{n} * kTurns * 3, "sum");
}

TEST(smp_lock_cmpxchg16b) {
  const unsigned n = need(2);
  if (!(cpuid(1).c & 1 << 13)) skip("no CMPXCHG16B");
  static volatile u64 pair[2] __attribute__((aligned(16)));
  pair[0] = 0;
  pair[1] = 0;
  on_all([](unsigned) {
    for (unsigned i = 0; i < kTurns / 4; ++i)
      asm volatile(R"(
        mov (%0),%%rax
        mov 8(%0),%%rdx
     1: lea 1(%%rax),%%rbx
        lea 5(%%rdx),%%rcx
        lock cmpxchg16b (%0)
        jnz 1b)" ::"r"(pair)
                   : "rax", "rbx", "rcx", "rdx", "memory", "cc");
  });
  expect(pair[0], u64{n} * (kTurns / 4), "low");
  expect(pair[1], u64{n} * (kTurns / 4) * 5, "high");
}

TEST(smp_xchg_spin_lock) {
  const unsigned n = need(2);
  static volatile u32 lock_word, plain;
  lock_word = 0;
  plain = 0;
  on_all([](unsigned) {
    for (unsigned i = 0; i < kTurns / 10; ++i) {
      u32 v = 1;
      for (;;) {
        asm volatile("xchg %0,%1" : "+r"(v), "+m"(lock_word) : : "memory");
        if (!v) break;
        pause();
      }
      plain = plain + 1;
      barrier();
      lock_word = 0;
    }
  });
  expect(plain, n * (kTurns / 10), "sum");
}

TEST(smp_bit_locks) {
  const unsigned n = need(2);
  static volatile u32 bits[64];
  static volatile u32 got;
  memset(const_cast<u32*>(bits), 0, sizeof bits);
  got = 0;
  on_all([](unsigned) {
    for (u64 i = 0; i < 2048; ++i) {
      u8 carry;
      asm volatile("lock btsq %2,%1; setc %0" : "=r"(carry), "+m"(bits) : "r"(i) : "cc", "memory");
      if (!carry) __atomic_fetch_add(&got, 1, __ATOMIC_SEQ_CST);
    }
  });
  expect(got, 2048, "each bit is won once");
  (void)n;
}

TEST(smp_split_lock) {
  const unsigned n = need(2);
  memset(const_cast<u8*>(line), 0, sizeof line);
  on_all([](unsigned) {
    for (unsigned i = 0; i < 2000; ++i) asm volatile("lock incq %0" : "+m"(*(line + 60)) : : "cc", "memory");
  });
  u64 v;
  copy(&v, const_cast<u8*>(line) + 60, 8);
  expect(v, u64{n} * 2000, "across cache lines");
}

TEST(smp_split_lock_across_pages) {
  const unsigned n = need(2);
  static u8* first;
  first = static_cast<u8*>(new_page());
  if (static_cast<u8*>(new_page()) != first + 4096) skip("pages are not adjacent");
  on_all([](unsigned) {
    for (unsigned i = 0; i < 1000; ++i)
      asm volatile("lock addq $1,%0" : "+m"(*(first + 4093)) : : "cc", "memory");
  });
  u64 v;
  copy(&v, first + 4093, 8);
  expect(v, u64{n} * 1000, "across pages");
}

TEST(smp_split_and_aligned_mixed) {
  // A split lock and an ordinary one on the same bytes.
  need(2);
  memset(const_cast<u8*>(line), 0, sizeof line);
  on_all([](unsigned i) {
    for (unsigned k = 0; k < 2000; ++k) {
      if (i % 2)
        asm volatile("lock addq $1,%0" : "+m"(*(line + 60)) : : "cc", "memory");
      else
        asm volatile("lock addl $1,%0" : "+m"(*(line + 60)) : : "cc", "memory");
    }
  });
  u64 v;
  copy(&v, const_cast<u8*>(line) + 60, 8);
  expect(v, u64{processor_count()} * 2000, "sum");
}

TEST(smp_message_passing) {
  // Stores are seen in order (TSO): data before flag.
  need(2);
  static volatile u64 data, flag, wrong;
  data = 0;
  flag = 0;
  wrong = 0;
  run_on(
      1,
      [](void*) {
        for (u64 i = 1; i <= 2000; ++i) {
          while (flag != i) pause();
          if (data != i) wrong = wrong + 1;
          __atomic_store_n(&flag, u64{0}, __ATOMIC_SEQ_CST);
        }
      },
      nullptr);
  for (u64 i = 1; i <= 2000; ++i) {
    data = i;
    flag = i;
    while (flag) pause();
  }
  wait_for(1);
  expect(wrong, 0, "reordered");
}

TEST(smp_store_buffering_with_mfence) {
  // Dekker with MFENCE: never both see zero.
  need(2);
  static volatile u32 x __attribute__((aligned(64))), y __attribute__((aligned(64))), r1, r2, turn;
  u32 both = 0;
  turn = 0;
  run_on(
      1,
      [](void*) {
        for (u32 i = 1; i <= 2000; ++i) {
          while (turn != 2 * i - 1) pause();
          y = 1;
          asm volatile("mfence" ::: "memory");
          r2 = x;
          __atomic_store_n(&turn, 2 * i, __ATOMIC_SEQ_CST);
        }
      },
      nullptr);
  for (u32 i = 1; i <= 2000; ++i) {
    x = 0;
    y = 0;
    __atomic_store_n(&turn, 2 * i - 1, __ATOMIC_SEQ_CST);
    x = 1;
    asm volatile("mfence" ::: "memory");
    r1 = y;
    while (turn != 2 * i) pause();
    if (!r1 && !r2) ++both;
  }
  wait_for(1);
  expect(both, 0, "both zero");
}

TEST(smp_ipi_each_to_each) {
  const unsigned n = need(2);
  static volatile u32 received;
  received = 0;
  on_trap(0x98, [](Frame&) {
    __atomic_fetch_add(&received, 1, __ATOMIC_SEQ_CST);
    apic_eoi();
    return true;
  });
  on_all([](unsigned i) {
    sti();
    for (unsigned k = 0; k < processor_count(); ++k)
      if (k != i) apic_ipi(apic_id_of(k), 0x98);
    for (unsigned w = 0; w < 2000000 && received < processor_count() * (processor_count() - 1) / 1; ++w) {
      pause();
      if (w > 1000000) break;
    }
    cli();
  });
  // Edge interrupts of one vector may merge while one is pending: at least one each.
  expect_true(received >= n, "everyone was interrupted");
}

TEST(smp_ipi_shorthands_and_logical) {
  const unsigned n = need(2);
  static volatile u32 received;
  on_trap(0x99, [](Frame&) {
    __atomic_fetch_add(&received, 1, __ATOMIC_SEQ_CST);
    apic_eoi();
    return true;
  });
  const auto wait = [](u32 want) {
    sti();
    for (unsigned w = 0; w < 500 && received < want; ++w) delay_us(1000);
    cli();
    return expect(received, want, "received");
  };
  received = 0;
  apic_ipi(0, 0xc0099);  // all but self; the others idle in HLT with IF set
  if (!wait(n - 1)) return;
  received = 0;
  apic_ipi(0, 0x80099);  // all
  if (!wait(n)) return;
  received = 0;
  apic_ipi(0xff, 0x99);  // physical broadcast
  wait(n);
}

TEST(smp_nmi_wakes_halted) {
  need(2);
  static volatile u32 nmis;
  nmis = 0;
  on_trap(kNMI, [](Frame&) {
    nmis = nmis + 1;
    return true;
  });
  static volatile u32 in_halt;
  in_halt = 0;
  run_on(
      1,
      [](void*) {
        in_halt = 1;
        while (!nmis) asm volatile("cli; hlt");
      },
      nullptr);
  while (!in_halt) pause();
  delay_us(2000);
  apic_ipi(apic_id_of(1), 0x400);
  for (unsigned w = 0; w < 1000 && !nmis; ++w) delay_us(1000);
  expect(nmis, 1, "NMI with IF clear");
  wait_for(1);
}

TEST(smp_tlb_shootdown) {
  // The others read a page all the time; its frame is changed, they are told by
  // IPI to invalidate, and after all have answered nobody may see the old one.
  need(2);
  static volatile u32 acknowledged, stop, generation_wrong;
  static volatile u64 expected_at_least;
  static u64* pages[2];
  pages[0] = static_cast<u64*>(new_page());
  pages[1] = static_cast<u64*>(new_page());
  *pages[0] = 1;
  map_page(kAt, reinterpret_cast<Word>(pages[0]), kP | kW);
  stop = 0;
  generation_wrong = 0;
  expected_at_least = 1;
  on_trap(0x9a, [](Frame&) {
    invlpg(reinterpret_cast<void*>(kAt));
    __atomic_fetch_add(&acknowledged, 1, __ATOMIC_SEQ_CST);
    apic_eoi();
    return true;
  });
  for (unsigned i = 1; i < processor_count(); ++i)
    run_on(
        i,
        [](void*) {
          sti();
          while (!stop) {
            const u64 least = expected_at_least;
            barrier();
            if (*reinterpret_cast<volatile u64*>(kAt) < least) generation_wrong = generation_wrong + 1;
          }
          cli();
        },
        nullptr);
  bool answered = true;
  for (u64 g = 2; g <= 100 && answered; ++g) {
    u64* page = pages[g & 1];
    *page = g;
    *entry_for(kAt, 1) = reinterpret_cast<Word>(page) | kP | kW;
    invlpg(reinterpret_cast<void*>(kAt));
    acknowledged = 0;
    apic_ipi(0, 0xc009a);
    for (unsigned w = 0; w < 500 && acknowledged < processor_count() - 1; ++w) {
      for (int k = 0; k < 100 && acknowledged < processor_count() - 1; ++k) pause();
      if (acknowledged < processor_count() - 1) delay_us(1000);
    }
    answered = expect(acknowledged, processor_count() - 1, "all answer");
    expected_at_least = g;
  }
  stop = 1;
  wait_all();
  expect(generation_wrong, 0, "stale reads");
}

TEST(smp_dirty_bit_race) {
  // Two processors write while one keeps clearing D and flushing: no write is
  // lost, and a write after the flush sets D again.
  need(2);
  static volatile u32 stop;
  static u64* page;
  page = static_cast<u64*>(new_page());
  map_page(kAt, reinterpret_cast<Word>(page), kP | kW);
  stop = 0;
  run_on(
      1,
      [](void*) {
        u64 n = 0;
        while (!stop) {
          *reinterpret_cast<volatile u64*>(kAt + 8) = ++n;
          invlpg(reinterpret_cast<void*>(kAt));
          if (*reinterpret_cast<volatile u64*>(kAt + 8) != n) fail_text("write lost");
        }
      },
      nullptr);
  volatile u64* leaf = entry_for(kAt, 1);
  for (int i = 0; i < 5000; ++i) __atomic_fetch_and(const_cast<u64*>(leaf), ~u64{kD | kA}, __ATOMIC_SEQ_CST);
  stop = 1;
  wait_for(1);
  expect(*leaf & kPageMask, reinterpret_cast<Word>(page), "frame untouched");
}

TEST(smp_init_stops_a_processor) {
  const unsigned n = need(2);
  static volatile u64 beats;
  beats = 0;
  const unsigned last = n - 1;
  run_on(
      last,
      [](void*) {
        for (;;) beats = beats + 1;
      },
      nullptr);
  for (unsigned w = 0; w < 1000 && !beats; ++w) delay_us(1000);
  expect_true(beats > 0, "it runs");
  apic_ipi(apic_id_of(last), 0x4500);
  u64 then = ~u64{0};
  for (unsigned w = 0; w < 50 && beats != then; ++w) {  // a busy host may take a while to run that thread
    then = beats;
    delay_us(20000);
  }
  expect(beats, then, "INIT stops it");
  forget_processor(last);
}
