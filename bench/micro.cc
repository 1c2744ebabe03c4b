// What a system's primitives cost: a bare 64-bit kernel (tests/guests/lib) that runs each one many times
// between two lines on the serial port, by which bench/micro.py reads the emulator's CPU clock. Every loop
// also contains its own counting, a nanosecond or less.
#include "paging.h"
#include "test.h"

namespace {

constexpr Word kArea = 0x80'0000'0000;  // mapped here, outside what the kernel uses

// Warm first, so that translation is not measured.
template <class F>
void measure(const char* name, u32 count, F loop) {
  loop(count < 20000 ? count : 20000);
  print("@@begin ");
  print(name);
  print(" ");
  print_dec(count);
  print("\n");
  loop(count);
  print("@@end\n");
}

[[gnu::naked, gnu::aligned(64)]] void syscall_entry() {
  asm("sysretq");
}
[[gnu::naked, gnu::aligned(64)]] void full_syscall_entry() {
  asm("swapgs; mov %rsp,%gs:8; mov %gs:0,%rsp; push %r11; push %rcx; sti; cli; pop %rcx; pop %r11; mov "
      "%gs:8,%rsp;"
      "swapgs; sysretq");
}
[[gnu::naked, gnu::aligned(64)]] void skip_fault() {  // the access has two bytes
  asm("add $8,%rsp; addq $2,(%rsp); iretq");
}
[[gnu::naked, gnu::aligned(64)]] void plain_return() {
  asm("iretq");
}

alignas(64) u64 per_cpu[8];
alignas(64) u8 syscall_stack[1024];

void user_syscalls(u32 count) {
  static u32 n;
  n = count;
  const Trap t = user([] {
    u32 left = n;
    asm volatile("1: syscall; dec %0; jnz 1b" : "+r"(left) : : "rcx", "r11", "memory", "cc");
  });
  expect_trap(t, kUserExit, "system calls");
}

// 4 KiB pages at kArea, all of one frame, so that only their tables differ.
void map_area(unsigned pages, u64 bits) {
  void* frame = new_page();
  for (unsigned i = 0; i < pages; ++i)
    *entry_for(kArea + i * 4096ul, 1) = reinterpret_cast<Word>(frame) | bits;
}

void touch(unsigned pages, u32 count) {
  const Word end = kArea + pages * 4096ul;
  Word at = kArea;
  asm volatile("1: mov (%0),%%al; add $4096,%0; cmp %2,%0; cmovae %3,%0; dec %1; jnz 1b"
               : "+&r"(at), "+&r"(count)
               : "r"(end), "r"(kArea)
               : "rax", "memory", "cc");
}

// A copy of the top table under another PCID; kArea has 4 pages.
void pcid_setup(Word& a, Word& b) {
  if (!(cpuid(1).c >> 17 & 1)) skip("no PCID");
  map_area(4, kP | kW | kA | kD);
  a = read_cr3() | 1;
  u64* other = new_table();
  copy(other, reinterpret_cast<const void*>(read_cr3() & kPageMask), 4096);
  b = reinterpret_cast<Word>(other) | 2;
  write_cr4(read_cr4() | kCr4Pcide);
  write_cr3(a);
  write_cr3(b);
  a |= 1ul << 63;
  b |= 1ul << 63;
}

}  // namespace

TEST(syscall_sysret) {
  write_msr(kMsrStar, u64{0x08} << 32 | u64{0x18} << 48);
  write_msr(kMsrLstar, reinterpret_cast<Word>(syscall_entry));
  write_msr(kMsrFmask, 0x47700);
  measure("syscall_sysret", 4000000, user_syscalls);
}

TEST(syscall_full) {
  per_cpu[0] = reinterpret_cast<Word>(syscall_stack + sizeof syscall_stack);
  write_msr(kMsrKernelGsBase, reinterpret_cast<Word>(per_cpu));
  write_msr(kMsrStar, u64{0x08} << 32 | u64{0x18} << 48);
  write_msr(kMsrLstar, reinterpret_cast<Word>(full_syscall_entry));
  write_msr(kMsrFmask, 0x47700);
  measure("syscall_full", 2000000, user_syscalls);
}

TEST(page_fault_iret) {
  set_gate(kPF, kSelCode, reinterpret_cast<Word>(skip_fault), 0x8e);
  *entry_for(kArea, 1) = 0;
  measure("page_fault_iret", 2000000, [](u32 count) {
    asm volatile("1: mov (%1),%%al; dec %0; jnz 1b" : "+r"(count) : "r"(kArea) : "rax", "memory", "cc");
  });
}

TEST(int_iret) {
  set_gate(0x90, kSelCode, reinterpret_cast<Word>(plain_return), 0x8e);
  measure("int_iret", 2000000, [](u32 count) {
    asm volatile("1: int $0x90; dec %0; jnz 1b" : "+r"(count) : : "memory", "cc");
  });
}

TEST(tlb_fill_walk) {  // more pages than any TLB holds
  map_area(32768, kP | kW | kA | kD);
  measure("tlb_fill_walk", 4000000, [](u32 count) { touch(32768, count); });
}

TEST(tlb_fill_again) {  // more than the first level holds
  map_area(1024, kP | kW | kA | kD);
  measure("tlb_fill_again", 8000000, [](u32 count) { touch(1024, count); });
}

TEST(cr3_keep) {
  Word a, b;
  pcid_setup(a, b);
  measure("cr3_keep", 4000000, [=](u32 count) {
    for (; count >= 2; count -= 2) write_cr3(a), write_cr3(b);
  });
}

TEST(cr3_keep_touch) {
  Word a, b;
  pcid_setup(a, b);
  measure("cr3_keep_touch", 2000000, [=](u32 count) {
    for (; count >= 2; count -= 2) write_cr3(a), touch(4, 4), write_cr3(b), touch(4, 4);
  });
}

TEST(cr3_flush) {
  measure("cr3_flush", 2000000, [](u32 count) {
    const Word a = read_cr3();
    for (; count; --count) write_cr3(a);
  });
}

TEST(invlpg) {
  map_area(4, kP | kW | kA | kD);
  measure("invlpg", 4000000, [](u32 count) {
    for (; count; --count) invlpg(reinterpret_cast<void*>(kArea));
  });
}

TEST(invlpg_touch) {
  map_area(4, kP | kW | kA | kD);
  measure("invlpg_touch", 4000000, [](u32 count) {
    for (; count; --count) invlpg(reinterpret_cast<void*>(kArea)), touch(1, 1);
  });
}

// Small blocks, reached by an indirect jump each. Rhea is run without its inline lookup for it.
TEST(lookup_miss) {
  constexpr unsigned kBlocks = 2048, kStride = 64;
  for (unsigned i = 0; i < kBlocks * kStride / 4096; ++i) {
    void* page = new_page();
    *entry_for(kArea + i * 4096ul, 1) = reinterpret_cast<Word>(page) | kP | kW | kA | kD;
  }
  for (unsigned i = 0; i < kBlocks; ++i)
    copy(reinterpret_cast<void*>(kArea + i * kStride), "\xff\xe3", 2);  // jmp *%rbx
  auto loop = [](u32 count) {
    asm volatile(
        "lea 1f(%%rip),%%rbx; mov %1,%%rdx; 1: dec %0; jz 2f; add %2,%%rdx; cmp %3,%%rdx; cmovae %1,%%rdx; "
        "jmp *%%rdx; 2:"
        : "+&r"(count)
        : "r"(kArea), "r"(Word{kStride}), "r"(kArea + kBlocks * kStride)
        : "rbx", "rdx", "memory", "cc");
  };
  loop(2 * kBlocks);
  measure("lookup_miss", 4000000, loop);
}

TEST(cli_sti) {
  measure("cli_sti", 8000000, [](u32 count) {
    for (; count; --count) asm volatile("sti; nop; cli" ::: "memory");
  });
}

TEST(pushf_popf) {
  measure("pushf_popf", 8000000, [](u32 count) {
    for (; count; --count) asm volatile("pushf; popf" ::: "memory", "cc");
  });
}

TEST(swapgs_twice) {
  measure("swapgs_twice", 8000000, [](u32 count) {
    for (; count; --count) asm volatile("swapgs; swapgs" ::: "memory");
  });
}

TEST(rdtsc) {
  measure("rdtsc", 8000000, [](u32 count) {
    for (; count; --count) rdtsc();
  });
}

TEST(wrmsr_fs_base) {
  measure("wrmsr_fs_base", 4000000, [](u32 count) {
    for (; count; --count) write_msr(kMsrFsBase, 0);
  });
}

TEST(rep_movs_24) {
  measure("rep_movs_24", 4000000, [](u32 count) {
    static u8 from[64], to[64];
    for (; count; --count) copy(to, from, 24);
  });
}

TEST(rep_stos_page) {
  measure("rep_stos_page", 1000000, [](u32 count) {
    static u8 page[4096];
    for (; count; --count) memset(page, 0, 4096);
  });
}

TEST(stac_clac) {
  if (!(cpuid7().b >> 20 & 1)) skip("no SMAP");
  write_cr4(read_cr4() | kCr4Smap);
  measure("stac_clac", 8000000, [](u32 count) {
    for (; count; --count) asm volatile("stac; nop; clac" ::: "memory");
  });
}

// A page that once held code becomes data: after one slow store the rest are fast.
TEST(store_where_code_was) {
  static u8* page;
  page = static_cast<u8*>(new_page());
  measure("store_where_code_was", 4000000, [](u32 count) {
    page[2048] = 0xc3;
    reinterpret_cast<void (*)()>(page + 2048)();
    for (; count; --count)
      asm volatile("movl %1,(%0)" ::"r"(page + 2048 - count % 64 * 4), "r"(count) : "memory");
  });
}
