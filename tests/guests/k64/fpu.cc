// x87, SSE and XSAVE state: saved and restored images, lazy state, selectors
// of the instructions in the image. SDM 1 chapters 8, 10, 13.
#include "test.h"

namespace {
struct alignas(64) Area {
  u8 bytes[4096];
};
Area area, other;
u64 word(const Area& a, unsigned offset) {
  return *reinterpret_cast<const u64*>(a.bytes + offset);
}
bool has_xsave() {
  return cpuid(1).c & 1 << 26;
}
u64 xgetbv(u32 index) {
  u32 lo, hi;
  asm volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(index));
  return u64{hi} << 32 | lo;
}
void xsetbv(u32 index, u64 v) {
  asm volatile("xsetbv" ::"c"(index), "a"(static_cast<u32>(v)), "d"(static_cast<u32>(v >> 32)));
}
}  // namespace

TEST(fpu_init_state) {
  asm volatile("fninit; fnstenv %0" : "=m"(area));
  expect(word(area, 0) & 0xffff, 0x37f, "control");
  expect(word(area, 4) & 0xffff, 0, "status");
  expect(word(area, 8) & 0xffff, 0xffff, "tag");
}

TEST(fpu_fxsave_fxrstor) {
  const u32 csr = 0x1fa0;
  asm volatile(
      "fninit; fld1; fldpi; ldmxcsr %0; mov $0x123456789abcdef0,%%rax; movq %%rax,%%xmm3; movq "
      "%%rax,%%xmm15" ::"m"(csr)
      : "rax");
  asm volatile("fxsave64 %0" : "=m"(area));
  expect(word(area, 0) & 0xffff, 0x37f, "FCW");
  expect(word(area, 4) & 0xff, 0xc0, "abridged tag: two in use");
  expect(word(area, 24) & 0xffffffff, csr, "MXCSR");
  expect(word(area, 32), 0xc90fdaa22168c235, "ST0 significand");
  expect(word(area, 40) & 0xffff, 0x4000, "ST0 exponent");
  expect(word(area, 160 + 48), 0x123456789abcdef0, "XMM3");
  expect(word(area, 160 + 240), 0x123456789abcdef0, "XMM15");
  asm volatile("fninit; xorps %%xmm3,%%xmm3; fxrstor64 %0; fxsave64 %1" : : "m"(area), "m"(other) : "memory");
  expect(word(other, 160 + 48), 0x123456789abcdef0, "XMM3 restored");
  expect(word(other, 32), 0xc90fdaa22168c235, "ST0 restored");
  const u32 normal = 0x1f80;
  asm volatile("ldmxcsr %0; fninit" ::"m"(normal));
}

TEST(fpu_fxrstor_bad_mxcsr) {
  asm volatile("fxsave64 %0" : "=m"(area));
  area.bytes[24 + 2] = 1;
  expect_trap(attempt([] { asm volatile("fxrstor64 %0" ::"m"(area)); }), kGP, 0, "#GP");
}

TEST(fpu_instruction_pointer_in_image) {
  Word at;
  asm volatile("fninit; lea 1f(%%rip),%1; 1: fldl %2; fxsave64 %0; fninit"
               : "=m"(area), "=&r"(at)
               : "m"(other));
  const u64 ip = word(area, 8), dp = word(area, 16);
  // A processor may leave them zero (AMD without an exception, FDP_EXCPTN_ONLY), never wrong.
  expect_true(ip == 0 || ip == at, "FIP is the instruction or 0");
  expect_true(dp == 0 || dp == reinterpret_cast<Word>(&other), "FDP is the operand or 0");
}

TEST(fpu_flags_and_compare) {
  Word flags;
  asm volatile("fninit; fldz; fld1; fcomip %%st(1),%%st; pushfq; pop %0; fstp %%st" : "=r"(flags) : : "cc");
  expect(flags & (kZf | kPf | kCf), 0, "1 > 0");
  const u32 nan = 0x7fc00000;
  asm volatile("xorps %%xmm0,%%xmm0; movss %1,%%xmm1; ucomiss %%xmm1,%%xmm0; pushfq; pop %0"
               : "=r"(flags)
               : "m"(nan)
               : "cc");
  expect(flags & (kZf | kPf | kCf), kZf | kPf | kCf, "unordered");
}

TEST(fpu_stack_fault) {
  u16 status;
  asm volatile("fninit; fstp %%st; fnstsw %0; fninit" : "=m"(status));
  expect(status & 0x41, 0x41, "IE and SF");
}

TEST(fpu_80_bit_precision) {
  // 2^63 + 1 needs 64 bits of significand.
  u64 v = 0x4000000000000001, r;
  asm volatile("fninit; fildq %1; fistpq %0" : "=m"(r) : "m"(v));
  expect(r, v, "round trip");
}

TEST(fpu_fnsave_frstor) {
  asm volatile("fninit; fld1; fldpi; fnsave %0; fnstsw %1" : "=m"(area), "=m"(other));
  expect(word(other, 0) & 0xffff, 0, "FNSAVE initialises");
  asm volatile("frstor %0; fstpt %1; fninit" : : "m"(area), "m"(other) : "memory");
  expect(word(other, 0), 0xc90fdaa22168c235, "pi");
}

TEST(fpu_mmx_aliases_x87) {
  asm volatile("fninit; mov $0x1122334455667788,%%rax; movq %%rax,%%mm0; fxsave64 %0; emms"
               : "=m"(area)
               :
               : "rax");
  expect(word(area, 32), 0x1122334455667788, "MM0 is the significand of R0");
  expect(word(area, 40) & 0xffff, 0xffff, "exponent all ones");
  expect(word(area, 4) & 0xff, 0xff, "all tags valid");
}

TEST(xsave_needs_osxsave) {
  if (!has_xsave()) {
    expect_trap(attempt([] {
                  asm volatile("xor %%ecx,%%ecx; xgetbv" ::: "rax", "rcx", "rdx");
                }),
                kUD, 0, "no XSAVE");
    return;
  }
  expect_trap(attempt([] { xgetbv(0); }), kUD, 0, "xgetbv");
  expect_trap(attempt([] { asm volatile("xsave %0" : "=m"(area) : "a"(3), "d"(0)); }), kUD, 0, "xsave");
  expect(cpuid(1).c >> 27 & 1, 0, "CPUID.OSXSAVE");
  write_cr4(read_cr4() | kCr4Osxsave);
  expect(cpuid(1).c >> 27 & 1, 1, "CPUID.OSXSAVE follows CR4");
  expect_trap(attempt([] { xgetbv(0); }), kNoTrap, "xgetbv");
  expect_trap(user([] { xgetbv(0); }), kUserExit, "xgetbv in ring 3");
  expect_trap(user([] { xsetbv(0, 3); }), kGP, 0, "xsetbv in ring 3");
}

TEST(xsetbv_faults) {
  if (!has_xsave()) skip("no XSAVE");
  write_cr4(read_cr4() | kCr4Osxsave);
  expect_trap(attempt([] { xsetbv(0, 2); }), kGP, 0, "x87 off");
  expect_trap(attempt([] { xsetbv(0, 5); }), kGP, 0, "AVX without SSE");
  expect_trap(attempt([] { xsetbv(0, 1ull << 62 | 3); }), kGP, 0, "reserved");
  expect_trap(attempt([] { xsetbv(1, 3); }), kGP, 0, "XCR1");
  expect_trap(attempt([] { xsetbv(0, 3); }), kNoTrap, "x87 and SSE");
}

TEST(xsave_layout) {
  if (!has_xsave()) skip("no XSAVE");
  write_cr4(read_cr4() | kCr4Osxsave);
  const CpuidResult r = cpuid(13);
  const bool avx = r.a & 4;
  xsetbv(0, avx ? 7 : 3);
  expect(cpuid(13).b, avx ? 576 + 256 : 576, "size for the enabled features");
  memset(&area, 0xcc, sizeof area);
  memset(area.bytes + 512, 0, 64);
  asm volatile("mov $0x55,%%eax; movd %%eax,%%xmm2; mov $7,%%eax; xor %%edx,%%edx; xsave64 %0"
               : "+m"(area)
               :
               : "rax", "rdx", "memory");
  expect(word(area, 512) & 2, 2, "XSTATE_BV has SSE");
  expect(word(area, 160 + 32), 0x55, "XMM2");
  memset(area.bytes + 512, 0, 8);
  asm volatile("mov $7,%%eax; xor %%edx,%%edx; xrstor64 %0; fxsave64 %1"
               :
               : "m"(area), "m"(other)
               : "rax", "rdx", "memory");
  expect(word(other, 160 + 32), 0, "XSTATE_BV 0 initialises");
  area.bytes[512 + 8] = 1;
  expect_trap(attempt([] { asm volatile("xrstor64 %0" ::"m"(area), "a"(7), "d"(0)); }), kGP, 0,
              "XCOMP_BV without XSAVEC format");
  area.bytes[512 + 8] = 0;
  area.bytes[512 + 7] = 0x40;
  expect_trap(attempt([] { asm volatile("xrstor64 %0" ::"m"(area), "a"(7), "d"(0)); }), kGP, 0,
              "XSTATE_BV bit not in XCR0");
  expect_trap(attempt([] { asm volatile("xsave64 (%0)" ::"r"(area.bytes + 8), "a"(7), "d"(0)
                                        : "memory"); }),
              kGP, 0, "misaligned");
}

TEST(avx_needs_xcr0) {
  if (!has_xsave() || !(cpuid(1).c & 1 << 28)) skip("no AVX");
  write_cr4(read_cr4() | kCr4Osxsave);
  xsetbv(0, 3);
  expect_trap(attempt([] { asm volatile("vaddps %%ymm0,%%ymm0,%%ymm0" ::); }), kUD, 0, "XCR0.AVX clear");
  xsetbv(0, 7);
  expect_trap(attempt([] { asm volatile("vaddps %%ymm0,%%ymm0,%%ymm0" ::); }), kNoTrap, "XCR0.AVX set");
  write_cr0(read_cr0() | kCr0Ts);
  expect_trap(attempt([] { asm volatile("vaddps %%ymm0,%%ymm0,%%ymm0" ::); }), kNM, 0, "TS");
  write_cr0(read_cr0() & ~kCr0Ts);
  asm volatile("vzeroupper" ::);
  write_cr4(read_cr4() & ~kCr4Osxsave);
  expect_trap(attempt([] { asm volatile("vaddps %%ymm0,%%ymm0,%%ymm0" ::); }), kUD, 0, "OSXSAVE clear");
}

TEST(avx_upper_halves_survive_interrupts) {
  if (!has_xsave() || !(cpuid(1).c & 1 << 28)) skip("no AVX");
  write_cr4(read_cr4() | kCr4Osxsave);
  xsetbv(0, 7);
  on_trap(0x90, [](Frame&) { return true; });
  static u64 in[4] __attribute__((aligned(32))) = {1, 2, 3, 4}, out[4] __attribute__((aligned(32)));
  asm volatile("vmovdqa %0,%%ymm9" ::"m"(in));
  for (int i = 0; i < 100; ++i)
    asm volatile("int $0x90; mov %%cr3,%%rax; mov %%rax,%%cr3" ::: "rax", "memory");
  asm volatile("vmovdqa %%ymm9,%0; vzeroall" : "=m"(out));
  for (int i = 0; i < 4; ++i) expect(out[i], in[i], "YMM9");
}
