// CPUID gating: an instruction works if and only if its feature bit is set,
// whatever the model, and CR4 and EFER bits follow. Run once a CPU model.
#include "test.h"

namespace {
bool bit(u32 v, unsigned n) {
  return v >> n & 1;
}
struct Features {
  CpuidResult one = cpuid(1), seven = cpuid7(),
              extended = cpuid_max(0x80000000) >= 0x80000001 ? cpuid(0x80000001) : CpuidResult{};
  CpuidResult d1 = cpuid_max() >= 13 ? cpuid(13, 1) : CpuidResult{};
};
alignas(64) u8 memory[64];

// Works, or #UD: nothing else.
template <class F>
void gate(bool present, const char* name, F f) {
  const Trap t = attempt(f);
  if (present)
    expect_trap(t, kNoTrap, name);
  else
    expect_trap(t, kUD, 0, name);
}
void enable_avx() {
  if (!bit(cpuid(1).c, 26)) return;
  write_cr4(read_cr4() | kCr4Osxsave);
  const u32 supported = cpuid(13).a & 0xe7;
  asm volatile("xsetbv" ::"c"(0), "a"(supported), "d"(0));
}
}  // namespace

#define GATE(present, text) \
  gate(present, text, [] { asm volatile(text ::: "rax", "rbx", "rcx", "rdx", "memory", "cc"); })
#define GATE_MEM(present, text) \
  gate(present, text, [] { asm volatile(text ::"r"(memory) : "rax", "rbx", "rcx", "rdx", "memory", "cc"); })

TEST(cpuid_leaves) {
  const u32 top = cpuid_max();
  expect_true(top >= 1, "leaf 1");
  const u32 high = cpuid_max(0x80000000);
  expect_true(high >= 0x80000008, "leaf 80000008");
  const u32 a = cpuid(0x80000008).a;
  expect_true((a & 0xff) >= 36 && (a & 0xff) <= 52, "physical width");
  expect(a >> 8 & 0xff, bit(cpuid7().c, 16) ? 57 : 48, "linear width");
  const Features f;
  expect_true(bit(f.extended.d, 29), "long mode");
  expect_true(bit(f.one.d, 0) && bit(f.one.d, 4) && bit(f.one.d, 5) && bit(f.one.d, 8) && bit(f.one.d, 25) &&
                  bit(f.one.d, 26),
              "FPU, TSC, MSR, CX8, SSE, SSE2");
  expect(f.one.b >> 24, cpu_index(), "APIC id");
  u32 brand[12];
  for (u32 i = 0; i < 3; ++i) {
    const CpuidResult r = cpuid(0x80000002 + i);
    brand[4 * i] = r.a;
    brand[4 * i + 1] = r.b;
    brand[4 * i + 2] = r.c;
    brand[4 * i + 3] = r.d;
  }
  expect_true(brand[0] != 0, "brand string");
}

TEST(cpuid_consistent) {
  const Features f;
  if (bit(f.one.c, 28)) expect_true(bit(f.one.c, 26), "AVX implies XSAVE");
  if (bit(f.seven.b, 5)) expect_true(bit(f.one.c, 28), "AVX2 implies AVX");
  if (bit(f.one.c, 12)) expect_true(bit(f.one.c, 28), "FMA implies AVX");
  if (bit(f.seven.b, 16)) expect_true(bit(f.seven.b, 5), "AVX-512F implies AVX2");
  if (bit(f.one.c, 20)) expect_true(bit(f.one.c, 19), "SSE4.2 implies SSE4.1");
  expect(bit(f.one.c, 27), false, "OSXSAVE clear at start");
  if (bit(f.one.c, 26)) {
    expect_true((cpuid(13).a & 3) == 3, "XCR0 has x87 and SSE");
    expect(bit(cpuid(13).a, 2), bit(f.one.c, 28), "XCR0.AVX is AVX");
    if (bit(f.one.c, 28)) {
      expect(cpuid(13, 2).a, 256, "AVX state size");
      expect(cpuid(13, 2).b, 576, "AVX state offset");
    }
  }
  // Reserved MSR and CR bits agree with the leaves.
  const Word cr4 = read_cr4();
  struct {
    Word mask;
    bool present;
    const char* name;
  } const bits[] = {
      {kCr4Smep, bit(f.seven.b, 7), "CR4.SMEP"}, {kCr4Fsgsbase, bit(f.seven.b, 0), "CR4.FSGSBASE"},
      {kCr4Umip, bit(f.seven.c, 2), "CR4.UMIP"}, {kCr4Osxsave, bit(f.one.c, 26), "CR4.OSXSAVE"},
      {kCr4Pke, bit(f.seven.c, 3), "CR4.PKE"},   {kCr4Pcide, bit(f.one.c, 17), "CR4.PCIDE"},
      {kCr4Smap, bit(f.seven.b, 20), "CR4.SMAP"}};
  for (const auto& b : bits) {
    const Trap t = attempt([&] { write_cr4(cr4 | b.mask); });
    write_cr4(cr4);
    if (b.present)
      expect_trap(t, kNoTrap, b.name);
    else
      expect_trap(t, kGP, 0, b.name);
  }
  const u64 efer = read_msr(kMsrEfer);
  const Trap t = attempt([&] { write_msr(kMsrEfer, efer | kEferNxe); });
  if (bit(f.extended.d, 20))
    expect_trap(t, kNoTrap, "EFER.NXE");
  else
    expect_trap(t, kGP, 0, "EFER.NXE");
}

TEST(cpuid_gates_sse) {
  const Features f;
  GATE(bit(f.one.c, 0), "addsubps %%xmm0,%%xmm0");
  GATE(bit(f.one.c, 9), "pshufb %%xmm0,%%xmm0");
  GATE(bit(f.one.c, 9), "pabsb %%mm0,%%mm0; emms");
  GATE(bit(f.one.c, 19), "pmulld %%xmm0,%%xmm0");
  GATE(bit(f.one.c, 19), "roundps $0,%%xmm0,%%xmm0");
  GATE(bit(f.one.c, 20), "pcmpgtq %%xmm0,%%xmm0");
  GATE(bit(f.one.c, 20), "crc32b %%al,%%ecx");
  GATE(bit(f.one.c, 23), "popcnt %%eax,%%eax");
  GATE(bit(f.one.c, 25), "aesenc %%xmm0,%%xmm0");
  GATE(bit(f.one.c, 1), "pclmulqdq $0,%%xmm0,%%xmm0");
  GATE(bit(f.seven.b, 29), "sha1msg1 %%xmm0,%%xmm0");
  GATE(bit(f.extended.c, 6), "extrq $1,$1,%%xmm0");
}

TEST(cpuid_gates_avx) {
  enable_avx();
  const Features f;
  GATE(bit(f.one.c, 28), "vaddps %%xmm0,%%xmm0,%%xmm0");
  GATE(bit(f.one.c, 28), "vaddps %%ymm0,%%ymm0,%%ymm0");
  GATE(bit(f.seven.b, 5), "vpaddb %%ymm0,%%ymm0,%%ymm0");
  GATE(bit(f.one.c, 12), "vfmadd231ps %%ymm0,%%ymm0,%%ymm0");
  GATE(bit(f.one.c, 29), "vcvtph2ps %%xmm0,%%ymm0");
  GATE(bit(f.seven.b, 16) && (cpuid(13).a & 0xe0) == 0xe0, "vpaddd %%zmm0,%%zmm0,%%zmm0");
  if (bit(f.one.c, 28)) asm volatile("vzeroall" ::);
}

TEST(cpuid_gates_integer) {
  enable_avx();
  const Features f;
  GATE_MEM(bit(f.one.c, 22), "movbe (%0),%%eax");
  GATE(bit(f.one.c, 30), "rdrand %%eax");
  GATE(bit(f.seven.b, 18), "rdseed %%eax");
  GATE(bit(f.seven.b, 3), "andn %%eax,%%eax,%%eax");
  GATE(bit(f.seven.b, 8), "pext %%eax,%%eax,%%eax");
  GATE(bit(f.seven.b, 8), "mulx %%eax,%%eax,%%ecx");
  GATE(bit(f.seven.b, 19), "adcx %%eax,%%eax");
  GATE(bit(f.seven.b, 23),
       ".byte 0x66; clflush memory_for_flush(%%rip); jmp 9f; memory_for_flush: .long 0; 9:");
  GATE(bit(f.extended.d, 27), "rdtscp");
  GATE(bit(f.seven.c, 22), "rdpid %%rax");
  GATE(bit(f.seven.b, 20), "clac");
  if (bit(f.one.c, 26)) {
    const Trap t = attempt([] { asm volatile("mov $1,%%ecx; xgetbv" ::: "rax", "rcx", "rdx"); });
    if (bit(f.d1.a, 2))
      expect_trap(t, kNoTrap, "xgetbv 1");
    else
      expect_trap(t, kGP, 0, "xgetbv 1");
  }
  GATE_MEM(bit(f.one.c, 13), "lock cmpxchg16b (%0)");
  if (!bit(f.seven.b, 10))
    expect_trap(attempt([] { asm volatile("invpcid %0,%1" ::"m"(memory), "r"(Word{2})
                                          : "memory"); }), kUD, 0,
                "invpcid");
}

TEST(cpuid_lzcnt_tzcnt_fall_back) {
  // Without the feature the prefix is ignored: BSR and BSF.
  const Features f;
  Word l, t;
  asm volatile("mov $0x10,%%eax; lzcnt %%eax,%%eax; mov %%rax,%0" : "=r"(l) : : "rax", "cc");
  asm volatile("mov $0,%%eax; mov $77,%%ecx; tzcnt %%eax,%%ecx; mov %%rcx,%0"
               : "=r"(t)
               :
               : "rax", "rcx", "cc");
  expect(l, bit(f.extended.c, 5) ? 27 : 4, "lzcnt");
  if (bit(f.seven.b, 3))
    expect(t, 32, "tzcnt of 0");
  else
    expect(t, 77, "bsf of 0 keeps the destination");
}

TEST(cpuid_gates_msrs) {
  const Features f;
  const Trap t = attempt([] { read_msr(kMsrTscAux); });
  if (bit(f.extended.d, 27) || bit(f.seven.c, 22))
    expect_trap(t, kNoTrap, "TSC_AUX");
  else
    expect_trap(t, kGP, 0, "TSC_AUX");
  const Trap d = attempt([] { read_msr(kMsrTscDeadline); });
  if (bit(f.one.c, 24))
    expect_trap(d, kNoTrap, "TSC_DEADLINE");
  else
    expect_trap(d, kGP, 0, "TSC_DEADLINE");
  const Trap x = attempt([] { read_msr(kMsrXss); });
  if (bit(f.d1.a, 3))
    expect_trap(x, kNoTrap, "XSS");
  else
    expect_trap(x, kGP, 0, "XSS");
}

TEST(cpuid_faults_nothing) {
  // Any leaf may be asked; above the highest basic leaf Intel returns that leaf's data, AMD zeros.
  for (u32 leaf = 0; leaf < 0x30; ++leaf)
    for (u32 sub = 0; sub < 4; ++sub) cpuid(leaf, sub);
  for (u32 leaf = 0; leaf < 0x30; ++leaf) cpuid(0x80000000 + leaf, 0);
  cpuid(0xffffffff, 0xffffffff);
  cpuid(0x40000000, 0);
}
