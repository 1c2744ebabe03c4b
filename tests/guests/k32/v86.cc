// Virtual-8086 mode: what traps, IOPL, interrupts in and out. SDM 3A 20.2-20.3.
#include "test.h"

namespace {
struct V86 {
  Word vector, error, ip, cs, flags, sp, ss, es, ds, fs, gs, ax, bx;
};
V86 left;

// Copies code to 0x7000 and enters it with IOPL; the first trap ends it.
V86 run(const u8* code, unsigned size, Word flags = 0x2) {
  copy(reinterpret_cast<void*>(0x7000), code, size);
  static const auto stop = [](Frame& f) {
    left = {f.vector, f.error,  f.ip,     f.cs,     f.flags, f.sp, f.ss,
            f.v86_es, f.v86_ds, f.v86_fs, f.v86_gs, f.ax,    f.bx};
    return false;
  };
  for (Word v = 0; v < 256; ++v) on_trap(v, stop);
  const Word image = flags | kVm;
  attempt([&] {
    asm volatile(R"(
      pushl $0x44
      pushl $0x33
      pushl $0x680
      pushl $0x680
      pushl $0x100
      pushl $0x4f00
      push %0
      pushl $0x700
      pushl $0
      iret)" ::"r"(image)
                 : "memory");
  });
  clear_handlers();
  return left;
}
template <unsigned N>
V86 run(const u8 (&code)[N], Word flags = 2) {
  return run(code, N, flags);
}
}  // namespace

TEST(v86_enter_and_fault_frame) {
  static const u8 code[] = {0xb8, 0x34, 0x12, 0xf4};  // mov $0x1234,%ax; hlt
  const V86 v = run(code);
  expect(v.vector, kGP, "hlt");
  expect(v.error, 0, "error code");
  expect(v.ip, 3, "ip");
  expect(v.cs, 0x700, "cs");
  expect(v.flags & kVm, kVm, "VM in the pushed flags");
  expect(v.ss, 0x100, "ss");
  expect(v.sp, 0x4f00, "sp");
  expect(v.es, 0x680, "es");
  expect(v.ds, 0x680, "ds");
  expect(v.fs, 0x33, "fs");
  expect(v.gs, 0x44, "gs");
  expect(v.ax & 0xffff, 0x1234, "ax");
}

TEST(v86_iopl_sensitive) {
  static const struct {
    u8 code[2];
    const char* name;
  } all[] = {{{0xfa, 0x90}, "cli"},  {{0xfb, 0x90}, "sti"},    {{0x9c, 0x58}, "pushf"},
             {{0x9d, 0x90}, "popf"}, {{0xcd, 0x21}, "int 21"}, {{0xcf, 0x90}, "iret"}};
  for (const auto& c : all) {
    const V86 v = run(c.code, 2);
    expect(v.vector, kGP, c.name);
    expect(v.ip, 0, "a fault");
  }
  static const u8 allowed[] = {0x9c, 0x5b, 0xfa, 0xfb, 0x53, 0x9d, 0xf4};
  const V86 v = run(allowed, 2 | kIopl);
  expect(v.ip, 6, "pushf, cli, sti, popf under IOPL 3");
  expect(v.vector, kGP, "hlt always");
}

TEST(v86_int_with_iopl_3) {
  static const u8 code[] = {0xcd, 0x90};
  V86 v = run(code, 2 | kIopl);
  expect(v.vector, kGP, "gate of DPL 0");
  expect(v.error, 0x90 * 8 + 2, "error code");
  set_gate(0x90, kSelCode, stub_address(0x90), 0xee);
  v = run(code, 2 | kIopl);
  expect(v.vector, 0x90, "gate of DPL 3");
  expect(v.ip, 2, "ip after");
  static const u8 breakpoint[] = {0xcc};
  v = run(breakpoint);
  expect(v.vector, kBP, "int3 is not IOPL-sensitive");
}

TEST(v86_limits) {
  static const u8 word[] = {0xbb, 0xff, 0xff, 0x8b, 0x07, 0xf4};  // mov $ffff,%bx; mov (%bx),%ax
  V86 v = run(word);
  expect(v.vector, kGP, "word at ffff");
  expect(v.ip, 3, "ip");
  static const u8 far_byte[] = {0x66, 0xbb, 0,    0,    1,
                                0,    0x67, 0x8a, 0x03, 0xf4};  // mov $10000,%ebx; mov (%ebx),%al
  v = run(far_byte);
  expect(v.ip, 6, "byte at 10000");
}

TEST(v86_privileged_and_io) {
  static const u8 cr[] = {0x0f, 0x20, 0xc0};
  expect(run(cr).vector, kGP, "mov cr0");
  static const u8 lgdt_code[] = {0x0f, 0x01, 0x16, 0, 0};
  expect(run(lgdt_code).vector, kGP, "lgdt");
  static const u8 str_code[] = {0x0f, 0x00, 0xc8};
  expect(run(str_code).vector, kUD, "str");
  static const u8 in_code[] = {0xe4, 0x80, 0xf4};
  V86 v = run(in_code, 2 | kIopl);
  expect(v.ip, 0, "IN obeys the bitmap, not IOPL");
  boot_tss.bitmap[0x80 / 8] &= static_cast<u8>(~1);
  v = run(in_code);
  expect(v.ip, 2, "allowed by the bitmap");
}

TEST(v86_addresses) {
  static const u8 code[] = {0xb8, 0x80, 0x06, 0x8e, 0xc0, 0x26, 0xc7, 0x06, 0x04, 0, 0x34, 0x12, 0xf4};
  *reinterpret_cast<volatile u16*>(0x6804) = 0;
  run(code);
  expect(*reinterpret_cast<volatile u16*>(0x6804), 0x1234, "es * 16 + 4");
}

TEST(v86_vme_virtual_interrupt_flag) {
  if (!(cpuid(1).d & 2)) skip("no VME");
  write_cr4(read_cr4() | kCr4Vme);
  static const u8 code[] = {0xfa, 0x9c, 0x58, 0xfb,
                            0x9c, 0x5b, 0xf4};  // cli; pushf; pop %ax; sti; pushf; pop %bx; hlt
  const V86 v = run(code);
  write_cr4(read_cr4() & ~kCr4Vme);
  expect(v.ip, 6, "no trap");
  expect(v.ax & kIf, 0, "VIF clear seen as IF");
  expect(v.bx & kIf, kIf, "VIF set seen as IF");
  expect(v.flags & kVif, kVif, "VIF");
}
