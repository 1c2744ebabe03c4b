// Segmentation with its limits and rights in 32-bit protected mode. SDM 3A
// 3.4, 5.3 (limits), 5.4-5.6 (types, privilege), 6.15 (error codes).
#include "test.h"

namespace {
u64& slot(unsigned i) {
  return gdt[kSelTest / 8 + i];
}
u16 selector(unsigned i, unsigned rpl = 0) {
  return static_cast<u16>(kSelTest + 8 * i + rpl);
}
constexpr u32 kData = kDescP | kDescS | kDescWrite | kDescDb,
              kCode = kDescP | kDescS | kDescCode | kDescRead | kDescDb;
u8 buffer[8192] __attribute__((aligned(4096)));
u32 base() {
  return reinterpret_cast<Word>(buffer);
}

// One access through FS at offset, of 1, 2, 4 or 8 bytes.
Trap read_fs(u16 sel, u32 offset, unsigned bytes) {
  const Trap t = attempt([=] {
    asm volatile("mov %0,%%fs" ::"r"(sel));
    switch (bytes) {
      case 1: asm volatile("movb %%fs:(%0),%%al" ::"r"(offset) : "eax"); break;
      case 2: asm volatile("movw %%fs:(%0),%%ax" ::"r"(offset) : "eax"); break;
      case 4: asm volatile("movl %%fs:(%0),%%eax" ::"r"(offset) : "eax"); break;
      default: asm volatile("fninit; fldl %%fs:(%0); fninit" ::"r"(offset)); break;
    }
  });
  asm volatile("mov %0,%%fs" ::"r"(0));
  return t;
}
Trap write_fs(u16 sel, u32 offset) {
  const Trap t = attempt([=] {
    asm volatile("mov %0,%%fs; movl $0x12345678,%%fs:(%1)" ::"r"(sel), "r"(offset) : "memory");
  });
  asm volatile("mov %0,%%fs" ::"r"(0));
  return t;
}
Trap load_fs(u16 sel) {
  const Trap t = attempt([=] { asm volatile("mov %0,%%fs" ::"r"(sel)); });
  asm volatile("mov %0,%%fs" ::"r"(0));
  return t;
}
Trap load_ss(u16 sel) {
  return attempt([=] { asm volatile("mov %%ss,%%ecx; mov %0,%%ss; mov %%ecx,%%ss" ::"r"(sel) : "ecx"); });
}
Trap far_jump(u16 sel, u32 offset) {
  struct {
    u32 offset;
    u16 sel;
  } target = {offset, sel};
  return attempt([&] { asm volatile("ljmp *%0" ::"m"(target)); });
}
}  // namespace

TEST(seg_limit_byte_granular) {
  slot(0) = make_descriptor(base(), 99, kData);
  const u16 s = selector(0);
  expect_trap(read_fs(s, 99, 1), kNoTrap, "last byte");
  expect_trap(read_fs(s, 100, 1), kGP, 0, "one beyond");
  expect_trap(read_fs(s, 96, 4), kNoTrap, "last dword");
  expect_trap(read_fs(s, 97, 4), kGP, 0, "dword across the limit");
  expect_trap(read_fs(s, 99, 2), kGP, 0, "word across");
  expect_trap(read_fs(s, 92, 8), kNoTrap, "last qword");
  expect_trap(read_fs(s, 93, 8), kGP, 0, "qword across");
  expect_trap(write_fs(s, 97), kGP, 0, "write across");
  expect_trap(read_fs(s, 0xffffffff, 1), kGP, 0, "offset -1");
}

TEST(seg_limit_page_granular) {
  slot(0) = make_descriptor(base(), 0, kData | kDescG);
  expect_trap(read_fs(selector(0), 4092, 4), kNoTrap, "last dword of 4 KiB");
  expect_trap(read_fs(selector(0), 4093, 4), kGP, 0, "across");
}

TEST(seg_limit_wraps) {
  slot(0) = make_descriptor(base(), 0xfffff, kData | kDescG);
  expect_trap(read_fs(selector(0), static_cast<u32>(-static_cast<int>(base())), 4), kNoTrap,
              "base + offset wraps at 4 GiB");
  slot(0) = make_descriptor(base(), 0xffffe, kData | kDescG);
  expect_trap(read_fs(selector(0), 0xfffff000, 4), kGP, 0, "last page excluded");
}

TEST(seg_expand_down) {
  slot(0) = make_descriptor(base(), 99, kData | kDescDown);
  expect_trap(read_fs(selector(0), 99, 1), kGP, 0, "at the limit");
  expect_trap(read_fs(selector(0), 100, 1), kNoTrap, "above the limit");
  expect_trap(read_fs(selector(0), 97, 4), kGP, 0, "across");
  expect_trap(read_fs(selector(0), 0x12345, 1), kNoTrap, "B: up to 4 GiB");
  slot(0) = make_descriptor(base(), 99, (kData | kDescDown) & ~kDescDb);
  expect_trap(read_fs(selector(0), 0xffff, 1), kNoTrap, "16-bit: up to 64 KiB");
  expect_trap(read_fs(selector(0), 0xfffe, 4), kGP, 0, "16-bit: across 64 KiB");
  expect_trap(read_fs(selector(0), 0x10000, 1), kGP, 0, "16-bit: beyond");
}

TEST(seg_base_is_added) {
  slot(0) = make_descriptor(base() + 5, 0xffff, kData);
  buffer[5 + 7] = 0x77;
  u32 v = 0;
  asm volatile("mov %1,%%fs; movzbl %%fs:7,%0; mov %2,%%fs" : "=r"(v) : "r"(selector(0)), "r"(0));
  expect(v, 0x77, "value");
  asm volatile("mov %1,%%gs; mov $7,%%ecx; movzbl %%gs:(%%ecx),%0; mov %2,%%gs"
               : "=r"(v)
               : "r"(selector(0)), "r"(0)
               : "ecx");
  expect(v, 0x77, "value by gs");
}

TEST(seg_types) {
  slot(0) = make_descriptor(base(), 0xfff, kData & ~kDescWrite);
  expect_trap(write_fs(selector(0), 0), kGP, 0, "write to read-only data");
  expect_trap(read_fs(selector(0), 0, 4), kNoTrap, "read it");
  slot(0) = make_descriptor(base(), 0xfff, kCode);
  expect_trap(read_fs(selector(0), 0, 4), kNoTrap, "read readable code");
  expect_trap(write_fs(selector(0), 0), kGP, 0, "write to code");
  slot(0) = make_descriptor(base(), 0xfff, kCode & ~kDescRead);
  expect_trap(load_fs(selector(0)), kGP, selector(0), "load execute-only");
  expect_trap(attempt([] { asm volatile("movl $1,%cs:(0x2000)"); }), kGP, 0, "write through CS");
  expect_trap(read_fs(0, 0, 1), kGP, 0, "null selector");
  expect_trap(read_fs(3, 0, 1), kGP, 0, "null selector, RPL 3");
}

TEST(seg_load_errors) {
  slot(0) = make_descriptor(base(), 0xfff, kData & ~kDescP);
  slot(1) = make_descriptor(base(), 0xfff, kData | kDescDpl3);
  slot(2) = make_descriptor(base(), 0x67, kDescP | 0x900);
  expect_trap(load_fs(selector(0)), kNP, selector(0), "not present");
  expect_trap(load_fs(selector(2)), kGP, selector(2), "TSS");
  expect_trap(load_fs(0xfff8), kGP, 0xfff8, "beyond the GDT");
  expect_trap(load_fs(kSelData | 3), kGP, kSelData, "RPL 3 of DPL 0");
  expect_trap(load_fs(selector(1, 3)), kNoTrap, "RPL 3 of DPL 3");
  expect_trap(load_ss(0), kGP, 0, "ss null");
  expect_trap(load_ss(selector(0)), kSS, selector(0), "ss not present");
  expect_trap(load_ss(selector(1)), kGP, selector(1), "ss DPL 3");
  expect_trap(load_ss(selector(1, 3)), kGP, selector(1), "ss RPL 3");
  expect_trap(load_ss(kSelCode), kGP, kSelCode, "ss code");
  expect_trap(user([] { asm volatile("mov %0,%%fs" ::"r"(kSelData)); }), kGP, kSelData,
              "DPL 0 data from ring 3");
}

TEST(seg_lds_les_lss) {
  struct [[gnu::packed]] {
    u32 offset;
    u16 sel;
  } pointer = {0x1234, selector(1, 3)};
  slot(1) = make_descriptor(0, 0xfffff, kData | kDescG | kDescDpl3);
  u32 off = 0, sel = 0;
  asm volatile("lfs %2,%0; mov %%fs,%1" : "=r"(off), "=r"(sel) : "m"(pointer));
  expect(off, 0x1234, "offset");
  expect(sel & 0xffff, selector(1, 3), "selector");
  pointer.sel = 0xfff8;
  off = 0x55;
  expect_trap(attempt([&] {
                asm volatile("lgs %1,%0" : "+r"(off) : "m"(pointer));
              }),
              kGP, 0xfff8, "bad selector");
  expect(off, 0x55, "register unchanged");
  asm volatile("mov %0,%%fs" ::"r"(0));
}

TEST(seg_code_limit) {
  // A near jump beyond the limit is #GP(0) at the jump; running into it is #GP(0) too.
  slot(0) = make_descriptor(base(), 31, kCode);
  memset(buffer, 0x90, 64);
  Trap t = far_jump(selector(0), 32);
  expect_trap(t, kGP, 0, "far jump beyond");
  t = far_jump(selector(0), 20);
  expect_trap(t, kGP, 0, "running off the end");
  expect(t.ip, 32, "ip is the first byte beyond");
  buffer[20] = 0xeb;
  buffer[21] = 0x20;
  t = far_jump(selector(0), 20);
  expect_trap(t, kGP, 0, "near jump beyond");
  expect(t.ip, 20, "a fault of the jump");
  buffer[30] = 0xb8;  // five bytes, two inside
  t = far_jump(selector(0), 30);
  expect_trap(t, kGP, 0, "instruction across the limit");
  expect(t.ip, 30, "ip");
}

TEST(seg_code_base_and_wrap) {
  // CS with a base: relative jumps and call/ret stay within the segment.
  slot(0) = make_descriptor(base() - 0x1000, 0xfffff, kCode | kDescG);
  static const u8 program[] = {0xe8, 3,    0,    0,    0,     // call +3
                               0xcd, 0x90, 0x90,              // int 0x90
                               0xb8, 0x44, 0x33, 0x22, 0x11,  // mov $0x11223344,%eax
                               0xc3};
  copy(buffer, program, sizeof program);
  const Trap t = far_jump(selector(0), 0x1000);
  expect_trap(t, 0x90, "ends with int 0x90");
  expect(t.ax, 0x11223344, "eax");
  expect(t.ip, 0x1007, "ip is relative to the base");
  expect(t.cs, selector(0), "cs");
}

TEST(seg_16_bit_code) {
  // D=0: 16-bit operands by default, ip wraps to 16 bits.
  slot(0) = make_descriptor(base(), 0xffff, kCode & ~kDescDb);
  static const u8 program[] = {0xb8, 0x34, 0x12,                    // mov $0x1234,%ax
                               0x66, 0xb9, 0x78, 0x56, 0x34, 0x12,  // mov $0x12345678,%ecx
                               0xbb, 0xff, 0xff, 0x43,              // mov $0xffff,%bx; inc %bx
                               0xcd, 0x90};
  copy(buffer, program, sizeof program);
  const Trap t = attempt([] {
    struct {
      u32 offset;
      u16 sel;
    } target = {0, selector(0)};
    asm volatile("mov $0xaaaaaaaa,%%eax; mov $0xbbbbbbbb,%%ebx; ljmp *%0" ::"m"(target)
                 : "eax", "ebx", "ecx");
  });
  expect_trap(t, 0x90, "int 0x90");
  expect(t.ax, 0xaaaa1234, "ax");
  expect(t.cx, 0x12345678, "ecx");
  expect(t.bx, 0xbbbb0000, "bx wraps");
}

TEST(seg_16_bit_stack) {
  // B=0: pushes use sp, the high half of esp stays.
  slot(0) = make_descriptor(base(), 0xffff, kData & ~kDescDb);
  u32 after = 0;
  *reinterpret_cast<u32*>(buffer + 0x1000 - 4) = 0;
  asm volatile(R"(
    mov %%esp,%%ebx
    mov %1,%%ss
    mov $0x12341000,%%esp
    push $0x55667788
    mov %%esp,%%ecx
    pop %%edx
    mov $0x10,%%eax
    mov %%eax,%%ss
    mov %%ebx,%%esp
    mov %%ecx,%0)"
               : "=m"(after)
               : "r"(selector(0))
               : "eax", "ebx", "ecx", "edx", "memory");
  expect(after, 0x12340ffc, "esp");
  expect(*reinterpret_cast<u32*>(buffer + 0xffc), 0x55667788, "pushed below ss:sp");
}

TEST(seg_stack_faults) {
  // A task gate would be needed to take #SS on the same stack, so ring 3 does it.
  slot(0) = make_descriptor(base(), 0xfff, kData | kDescDpl3);
  const u16 s = selector(0, 3);
  Trap t = user([=] {
    asm volatile("mov %0,%%ss; mov $0x1000,%%esp; mov %%esp,%%ebp; mov (%%ebp),%%eax" ::"r"(s)
                 : "eax", "ebp");
  });
  expect_trap(t, kSS, 0, "read at the limit by ebp");
  t = user([=] { asm volatile("mov %0,%%ss; mov $2,%%esp; push %%eax" ::"r"(s) : "memory"); });
  expect_trap(t, kSS, 0, "push below 0 wraps beyond the limit");
  t = user([=] { asm volatile("mov %0,%%ss; mov $0xffd,%%esp; pop %%eax" ::"r"(s) : "eax", "memory"); });
  expect_trap(t, kSS, 0, "pop across the limit");
  t = user([=] { asm volatile("mov %0,%%ss; mov $0x10,%%esp; call 1f; 1: pusha" ::"r"(s) : "memory"); });
  expect_trap(t, kSS, 0, "pusha below 0");
}

TEST(seg_conforming_code) {
  slot(0) = make_descriptor(0, 0xfffff, kCode | kDescConforming | kDescG);
  Trap t = user([] { asm volatile("push $0x63; push $1f; lret; 1: mov %%cs,%%esi" ::: "esi", "memory"); });
  expect_trap(t, kUserExit, "ring 3 in conforming code of DPL 0");
  expect(t.cs, selector(0, 3), "CPL stays 3");
}

TEST(seg_arpl_lar_lsl_verr) {
  u32 v = 0x60, flags = 0;
  asm volatile("mov $3,%%cx; arpl %%cx,%w0; pushf; pop %1" : "+r"(v), "=r"(flags) : : "ecx", "cc");
  expect(v, 0x63, "arpl raises");
  expect(flags & kZf, kZf, "ZF");
  slot(0) = make_descriptor(0, 0x12345, kData | kDescG);
  asm volatile("lsl %2,%0; pushf; pop %1" : "=r"(v), "=r"(flags) : "r"(u32{selector(0)}) : "cc");
  expect(v, 0x12345fff, "lsl");
  asm volatile("verw %w1; pushf; pop %0" : "=r"(flags) : "r"(u32{selector(0)}) : "cc");
  expect(flags & kZf, kZf, "verw");
  const Trap t = user([] {
    u32 f;
    asm volatile("verr %w1; pushf; pop %0" : "=r"(f) : "r"(u32{selector(0)}) : "cc");
    asm volatile("int $0x81" ::"a"(f));
  });
  expect(t.ax & kZf, 0, "verr of DPL 0 from ring 3");
}

TEST(seg_string_uses_es_and_override) {
  slot(0) = make_descriptor(base(), 15, kData);
  const Trap t = attempt([] {
    asm volatile(
        "push %%es; mov %0,%%es; xor %%edi,%%edi; mov $20,%%ecx; rep stosb; pop %%es" ::"r"(selector(0)),
        "a"(1)
        : "edi", "ecx", "memory");
  });
  expect_trap(t, kGP, 0, "stosb beyond ES's limit");
  expect(t.cx, 4, "sixteen done");
  expect(t.di, 16, "edi");
}

TEST(seg_null_after_return_to_ring_3) {
  // IRET to ring 3 clears data segments of lower DPL.
  asm volatile("mov %0,%%fs" ::"r"(kSelData));
  const Trap t = user([] {
    u32 v;
    asm volatile("mov %%fs,%0; int $0x81" : "=r"(v) : "a"(0));
    asm volatile("int $0x81" ::"a"(v));
  });
  (void)t;
  const Trap u = user([] { asm volatile("mov %%fs,%%eax; int $0x81" ::: "eax"); });
  asm volatile("mov %0,%%fs" ::"r"(0));
  expect(u.ax & 0xffff, 0, "fs");
}
