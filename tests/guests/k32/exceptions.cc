// Exceptions that only exist, or differ, outside 64-bit mode.
#include "test.h"

#define ASM_TRAP(text) attempt([] { asm volatile(text ::: "eax", "ecx", "edx", "memory", "cc"); })
#define USER_TRAP(text) user([] { asm volatile(text ::: "eax", "ecx", "edx", "memory", "cc"); })

TEST(de_division) {
  expect_trap(ASM_TRAP("xor %%edx,%%edx; xor %%ecx,%%ecx; div %%ecx"), kDE, 0, "div");
  expect_trap(ASM_TRAP("aam $0"), kDE, 0, "aam 0");
  expect_trap(ASM_TRAP("mov $0x80000000,%%eax; cltd; mov $-1,%%ecx; idiv %%ecx"), kDE, 0, "INT_MIN / -1");
}

TEST(br_bound) {
  static const int bounds[2] = {-5, 10};
  expect_trap(attempt([] { asm volatile("bound %0,%1" ::"r"(11), "m"(bounds)); }), kBR, 0, "above");
  expect_trap(attempt([] { asm volatile("bound %0,%1" ::"r"(-6), "m"(bounds)); }), kBR, 0, "below");
  expect_trap(attempt([] { asm volatile("bound %0,%1" ::"r"(10), "m"(bounds)); }), kNoTrap, "upper end");
  expect_trap(attempt([] { asm volatile("bound %0,%1" ::"r"(-5), "m"(bounds)); }), kNoTrap, "lower end");
}

TEST(of_into) {
  expect_trap(ASM_TRAP("mov $0x7fffffff,%%eax; inc %%eax; into"), kOF, 0, "OF set");
  expect_trap(ASM_TRAP("xor %%eax,%%eax; into"), kNoTrap, "OF clear");
  set_gate(kOF, kSelCode, stub_address(kOF), 0x8e);
  expect_trap(USER_TRAP("mov $0x7fffffff,%%eax; inc %%eax; into"), kGP, kOF * 8 + 2,
              "DPL 0 gate from ring 3");
}

TEST(ud_in_32_bit) {
  expect_trap(ASM_TRAP("ud2"), kUD, 0, "ud2");
  expect_trap(ASM_TRAP(".byte 0x0f,0x05"), kUD, 0, "syscall, SCE clear");
  expect_trap(ASM_TRAP(".byte 0x8e,0xc8"), kUD, 0, "mov cs");
  expect_trap(ASM_TRAP(".byte 0xf0,0x90"), kUD, 0, "lock nop");
}

TEST(bcd_instructions) {
  u32 a, f;
  asm volatile("mov $0x0f,%%eax; add $1,%%al; daa; pushf; pop %1" : "=a"(a), "=r"(f) : : "cc");
  expect(a, 0x16, "daa");
  asm volatile("mov $0x20,%%eax; sub $1,%%al; das" : "=a"(a) : : "cc");
  expect(a, 0x19, "das");
  asm volatile("mov $0x0f,%%eax; aaa" : "=a"(a) : : "cc");
  expect(a, 0x105, "aaa");
  asm volatile("mov $0x207,%%eax; aad" : "=a"(a) : : "cc");
  expect(a, 27, "aad");
  asm volatile("mov $27,%%eax; aam" : "=a"(a) : : "cc");
  expect(a, 0x207, "aam");
}

TEST(pusha_popa_salc) {
  u32 a;
  asm volatile("mov $7,%%ecx; pusha; xor %%ecx,%%ecx; popa; mov %%ecx,%0" : "=r"(a) : : "ecx");
  expect(a, 7, "popa");
  asm volatile("stc; .byte 0xd6" : "=a"(a) : "a"(0) : "cc");
  expect(a, 0xff, "salc");
}

TEST(priv_in_ring_3) {
  expect_trap(USER_TRAP("hlt"), kGP, 0, "hlt");
  expect_trap(USER_TRAP("cli"), kGP, 0, "cli");
  expect_trap(USER_TRAP("in $0x80,%%al"), kGP, 0, "in");
  expect_trap(USER_TRAP("mov %%cr0,%%eax"), kGP, 0, "cr0");
  expect_trap(USER_TRAP("int $0x90"), kGP, 0x90 * 8 + 2, "int through a DPL 0 gate");
}

TEST(nested_gates_and_if) {
  static Word flags;
  const auto note = [](Frame&) {
    flags = read_flags();
    return true;
  };
  on_trap(0x90, note);
  write_flags(2 | kNt);
  asm volatile("int $0x90");
  write_flags(2);
  expect(flags & (kIf | kTf | kNt), 0, "interrupt gate clears IF, TF, NT");
  set_gate(0x90, kSelCode, stub_address(0x90), 0x8f);
  asm volatile("int $0x90");
  expect(flags & kIf, 0, "trap gate keeps IF clear");
}

TEST(double_fault_contributory) {
  // #GP whose gate's code segment is data: #GP while delivering #GP.
  set_gate(kGP, kSelData, stub_address(kGP), 0x8e);
  expect_trap(attempt([] { asm volatile("mov %0,%%fs" ::"r"(0xfff8)); }), kDF, 0, "#GP on #GP");
}

TEST(idt_gate_errors) {
  const auto int90 = [] { return attempt([] { asm volatile("int $0x90"); }); };
  const Word e = 0x90 * 8 + 2, stub = stub_address(0x90);
  set_gate(0x90, kSelCode, stub, 0x0e);
  expect_trap(int90(), kNP, e, "not present");
  set_gate(0x90, kSelCode, stub, 0x8c);
  expect_trap(int90(), kGP, e, "call gate in the IDT");
  set_gate(0x90, 0, stub, 0x8e);
  expect_trap(int90(), kGP, 0, "null selector");
  set_gate(0x90, kSelUserCode32, stub, 0x8e);
  expect_trap(int90(), kGP, kSelUserCode32 & ~3, "code of DPL 3");
  set_gate(0x90, kSelTss, 0, 0x85);
  expect_trap(int90(), kGP, kSelTss, "task gate to the busy TSS");
}

TEST(db_single_step_and_breakpoint) {
  static unsigned stops;
  stops = 0;
  on_trap(kDB, [](Frame& f) {
    ++stops;
    f.flags |= kRf;
    return true;
  });
  asm volatile("pushf; orl $0x100,(%%esp); popf; nop; nop; pushf; andl $~0x100,(%%esp); popf" ::
                   : "memory", "cc");
  expect(stops, 5, "steps");
  static volatile u32 cell;
  stops = 0;
  write_dr0(reinterpret_cast<Word>(&cell));
  write_dr7(0x402 | 0xd0000);
  cell = 1;
  write_dr7(0x400);
  expect(stops, 1, "data breakpoint");
}
