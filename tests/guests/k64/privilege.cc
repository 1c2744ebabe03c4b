// Ring 3 in 64-bit mode: privileged instructions, IOPL and the I/O bitmap,
// POPF, UMIP, TSD, fast system calls, call gates, SWAPGS and FS/GS bases.
// SDM 3A 5.9 (privileged instructions), 1 16.5 (I/O bitmap), 3A 5.8.
#include "test.h"

#define USER_TRAP(text) user([] { asm volatile(text ::: "rax", "rbx", "rcx", "rdx", "rsi", "memory", "cc"); })

namespace {
Trap user_in(u16 port, Word flags = 2) {
  return user([=] { asm volatile("in %%dx,%%al" ::"d"(port) : "rax"); }, flags);
}
Trap user_in32(u16 port, Word flags = 2) {
  return user([=] { asm volatile("in %%dx,%%eax" ::"d"(port) : "rax"); }, flags);
}
void allow_port(unsigned port, bool allowed) {
  if (allowed)
    boot_tss.bitmap[port / 8] &= static_cast<u8>(~(1 << port % 8));
  else
    boot_tss.bitmap[port / 8] |= static_cast<u8>(1 << port % 8);
}
constexpr Word kNonCanonical = 0x800000000000;
}  // namespace

TEST(priv_instructions_in_ring_3) {
  expect_trap(USER_TRAP("hlt"), kGP, 0, "hlt");
  expect_trap(USER_TRAP("cli"), kGP, 0, "cli");
  expect_trap(USER_TRAP("sti"), kGP, 0, "sti");
  expect_trap(USER_TRAP("clts"), kGP, 0, "clts");
  expect_trap(USER_TRAP("invd"), kGP, 0, "invd");
  expect_trap(USER_TRAP("wbinvd"), kGP, 0, "wbinvd");
  expect_trap(USER_TRAP("invlpg (%%rax)"), kGP, 0, "invlpg");
  expect_trap(USER_TRAP("mov %%cr0,%%rax"), kGP, 0, "read cr0");
  expect_trap(USER_TRAP("mov %%rax,%%cr3"), kGP, 0, "write cr3");
  expect_trap(USER_TRAP("mov %%cr8,%%rax"), kGP, 0, "read cr8");
  expect_trap(USER_TRAP("mov %%dr7,%%rax"), kGP, 0, "read dr7");
  expect_trap(USER_TRAP("mov %%rax,%%dr0"), kGP, 0, "write dr0");
  expect_trap(USER_TRAP("mov $0x10,%%ecx; rdmsr"), kGP, 0, "rdmsr");
  expect_trap(USER_TRAP("mov $0x10,%%ecx; wrmsr"), kGP, 0, "wrmsr");
  expect_trap(USER_TRAP("swapgs"), kGP, 0, "swapgs");
  expect_trap(USER_TRAP("sysretq"), kGP, 0, "sysret");
  expect_trap(USER_TRAP("lgdt (%%rsp)"), kGP, 0, "lgdt");
  expect_trap(USER_TRAP("lidt (%%rsp)"), kGP, 0, "lidt");
  expect_trap(USER_TRAP("lldt %%ax"), kGP, 0, "lldt");
  expect_trap(USER_TRAP("ltr %%ax"), kGP, 0, "ltr");
  expect_trap(USER_TRAP("lmsw %%ax"), kGP, 0, "lmsw");
  expect_trap(USER_TRAP("xor %%ecx,%%ecx; rdpmc"), kGP, 0, "rdpmc without PCE");
}

TEST(priv_rdtsc_tsd) {
  expect_trap(USER_TRAP("rdtsc"), kUserExit, "TSD clear");
  write_cr4(read_cr4() | kCr4Tsd);
  expect_trap(USER_TRAP("rdtsc"), kGP, 0, "TSD set");
  expect_trap(attempt([] { rdtsc(); }), kNoTrap, "ring 0");
  if (cpuid(0x80000001).d & 1 << 27) expect_trap(USER_TRAP("rdtscp"), kGP, 0, "rdtscp");
}

TEST(priv_umip) {
  if (!(cpuid7().c & 4)) skip("no UMIP");
  expect_trap(USER_TRAP("sgdt -64(%%rsp)"), kUserExit, "sgdt without UMIP");
  write_cr4(read_cr4() | kCr4Umip);
  expect_trap(USER_TRAP("sgdt -64(%%rsp)"), kGP, 0, "sgdt");
  expect_trap(USER_TRAP("sidt -64(%%rsp)"), kGP, 0, "sidt");
  expect_trap(USER_TRAP("sldt %%eax"), kGP, 0, "sldt");
  expect_trap(USER_TRAP("str %%eax"), kGP, 0, "str");
  expect_trap(USER_TRAP("smsw %%eax"), kGP, 0, "smsw");
  expect_trap(attempt([] { sgdt(); }), kNoTrap, "sgdt in ring 0");
}

TEST(io_bitmap) {
  expect_trap(user_in(0x80), kGP, 0, "denied");
  expect_trap(user_in(0x80, 2 | kIopl), kUserExit, "IOPL 3");
  allow_port(0x80, true);
  expect_trap(user_in(0x80), kUserExit, "allowed");
  expect_trap(user_in32(0x80), kGP, 0, "dword over denied ports");
  for (unsigned p = 0x81; p < 0x84; ++p) allow_port(p, true);
  expect_trap(user_in32(0x80), kUserExit, "dword allowed");
  expect_trap(user_in32(0x7f), kGP, 0, "dword from a denied port on");
  expect_trap(user([] { asm volatile("outb %%al,$0x80" ::: "rax"); }), kUserExit, "out imm");
  expect_trap(user([] { asm volatile("mov $0x84,%%edx; outsb" ::: "rdx", "rsi"); }), kGP, 0, "outsb denied");
  allow_port(0xffff, true);
  expect_trap(user_in(0xffff), kUserExit, "port ffff");
  boot_tss.iomap = sizeof boot_tss;
  expect_trap(user_in(0x80), kGP, 0, "bitmap beyond the limit");
}

TEST(popf_in_ring_3) {
  // IF and IOPL don't change, without a fault; AC, ID, DF and TF do.
  Trap t = USER_TRAP("push $0x243602; popfq; pushfq; pop %%rax; cld; int $0x81");
  expect_trap(t, kUserExit, "popf");
  expect(t.ax & (kIf | kIopl), 0, "IF, IOPL as before");
  expect(t.ax & (kAcFlag | kId | kDf), kAcFlag | kId | kDf, "AC, ID, DF changed");
  t = user(
      [] {
        asm volatile("push $0x202; popfq; pushfq; pop %%rax; int $0x81" ::: "rax", "memory");
      },
      2 | kIopl);
  expect(t.ax & (kIf | kIopl), kIf | kIopl, "IF changes under IOPL 3");
  expect_trap(user(
                  [] {
                    asm volatile("sti; nop; cli" ::: "memory");
                  },
                  2 | kIopl),
              kUserExit, "cli/sti under IOPL 3");
}

TEST(syscall_and_sysret) {
  static Word seen[4];
  write_msr(kMsrStar, u64{0x08} << 32 | u64{0x18} << 48);
  write_msr(kMsrFmask, kIf | kDf | kTf);
  Word handler;
  // The handler notes rcx, r11, cs and flags, then returns by SYSRET to ring 3.
  asm volatile(R"(
    lea 1f(%%rip),%0
    jmp 2f
 1: mov %%rsp,%%rdx
    lea boot_stack_top-16384(%%rip),%%rsp
    mov %%rcx,%1
    mov %%r11,%2
    pushfq
    popq %3
    xor %%eax,%%eax
    mov %%cs,%%eax
    mov %%rax,%4
    mov %%rdx,%%rsp
    sysretq
 2:)"
               : "=r"(handler)
               : "m"(seen[0]), "m"(seen[1]), "m"(seen[2]), "m"(seen[3])
               : "rax", "rdx", "memory");
  write_msr(kMsrLstar, handler);
  const Trap t = user([] {
    asm volatile(
        "std; stc; lea 1f(%%rip),%%rbx; syscall; 1: mov %%cs,%%esi; mov %%ss,%%edi; cld; int $0x81" ::
            : "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "r11", "memory", "cc");
  });
  expect_trap(t, kUserExit, "syscall and back");
  expect(seen[0], t.bx, "rcx is the return address");
  expect(seen[1] & (kDf | kCf), kDf | kCf, "r11 holds the flags");
  expect(seen[2] & (kDf | kIf | kTf), 0, "FMASK applied");
  expect(seen[2] & kCf, kCf, "other flags kept");
  expect(seen[3], 0x08, "CS");
  expect(t.si & 0xffff, kSelUserCode64, "CS after sysret");
  expect(t.di & 0xffff, kSelUserData, "SS after sysret");
  write_msr(kMsrEfer, read_msr(kMsrEfer) & ~kEferSce);
  expect_trap(USER_TRAP("syscall"), kUD, 0, "SCE clear");
  expect_trap(attempt([] { asm volatile("sysretq"); }), kUD, 0, "sysret, SCE clear");
}

TEST(sysret_to_non_canonical) {
  // Intel faults in ring 0, AMD in ring 3 after the switch; either way #GP.
  write_msr(kMsrStar, u64{0x08} << 32 | u64{0x18} << 48);
  boot_tss.ist[1] = reinterpret_cast<Word>(&boot_tss) - 0;  // not used when in ring 0
  boot_tss.ist[1] = boot_tss.rsp[0];
  set_gate(kGP, kSelCode, stub_address(kGP), 0x8e, 2);
  const Trap t = attempt([] {
    asm volatile("mov %0,%%rcx; mov $2,%%r11d; sysretq" ::"r"(kNonCanonical) : "rcx", "r11");
  });
  expect_trap(t, kGP, 0, "#GP");
}

TEST(sysenter_and_sysexit) {
  if (!(cpuid(1).d & 1 << 11)) skip("no SEP");
  static Word seen;
  Word handler;
  asm volatile(R"(
    lea 1f(%%rip),%0
    jmp 2f
 1: mov %%rsp,%1
    mov %%rbx,%%rdx
    mov %%rbp,%%rcx
    rex.W sysexit
 2:)"
               : "=r"(handler)
               : "m"(seen)
               : "memory");
  write_msr(kMsrSysenterCs, 0x08);
  write_msr(kMsrSysenterEip, handler);
  write_msr(kMsrSysenterEsp, reinterpret_cast<Word>(&gdt) + 0x100);
  // SYSEXIT takes CS from SYSENTER_CS + 32 (64-bit): 0x28, SS + 40: 0x30, so put data there for a moment.
  const u64 saved = gdt[6];
  gdt[6] = gdt[4];
  const Trap t = user([] {
    asm volatile(
        "mov %%rsp,%%rbx; push %%rbp; lea 1f(%%rip),%%rbp; sysenter; 1: mov %%cs,%%esi; mov %%ss,%%edi; int "
        "$0x81" ::
            : "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "memory", "cc");
  });
  gdt[6] = saved;
  // AMD processors raise #UD for SYSENTER in long mode.
  const CpuidResult id = cpuid(0);
  if (id.b == 0x68747541 && t.vector == kUD) skip("AMD: no SYSENTER in long mode");
  expect_trap(t, kUserExit, "sysenter and back");
  expect(seen, reinterpret_cast<Word>(&gdt) + 0x100, "rsp");
  expect(t.si & 0xffff, 0x2b, "CS after sysexit");
  expect(t.di & 0xffff, 0x33, "SS after sysexit");
  write_msr(kMsrSysenterCs, 0);
  expect_trap(USER_TRAP("sysenter"), kGP, 0, "SYSENTER_CS null");
}

TEST(call_gate_64) {
  static Word seen[3];
  Word target;
  asm volatile(R"(
    lea 1f(%%rip),%0
    jmp 2f
 1: mov %%rsp,%%rdx
    mov %%rdx,%1
    mov (%%rsp),%%rdx
    mov %%rdx,%2
    mov 8(%%rsp),%%rdx
    mov %%rdx,%3
    lretq
 2:)"
               : "=r"(target)
               : "m"(seen[0]), "m"(seen[1]), "m"(seen[2])
               : "rdx", "memory");
  const auto set = [&](u16 sel, u32 bits) {
    gdt[kSelTest / 8 + 4] =
        (target & 0xffff) | u64{sel} << 16 | u64{bits} << 32 | ((target >> 16) & 0xffff) << 48;
    gdt[kSelTest / 8 + 5] = target >> 32;
  };
  const u16 gate = kSelTest + 32;
  set(kSelCode, 0xec00);
  const auto call = [=] {
    return user([] {
      asm volatile("push $0x60+32; push $0; rex.W lcall *(%%rsp); add $16,%%rsp; mov %%cs,%%esi" ::
                       : "rsi", "rdx", "memory");
    });
  };
  Trap t = call();
  expect_trap(t, kUserExit, "through the gate and back");
  expect(seen[0], boot_tss.rsp[0] - 32, "stack of the TSS, four words pushed");
  expect(seen[2], kSelUserCode64, "CS pushed");
  set(kSelCode, 0x8c00);
  expect_trap(call(), kGP, gate, "gate DPL 0");
  set(kSelCode, 0x6c00);
  expect_trap(call(), kNP, gate, "gate not present");
  set(kSelData, 0xec00);
  expect_trap(call(), kGP, kSelData, "gate to data");
  set(0, 0xec00);
  expect_trap(call(), kGP, 0, "gate to null");
  set(kSelCode32, 0xec00);
  expect_trap(call(), kGP, kSelCode32, "gate to 32-bit code");
}

TEST(compatibility_mode) {
  // 32-bit code in ring 0 at the same place: 0x48 is DEC, addresses wrap at 4 GiB.
  Word value = 0;
  const Trap t = attempt([&] {
    asm volatile(R"(
      push %%rbp
      lea 3f(%%rip),%%rbp
      push $0x30
      lea 1f(%%rip),%%rax
      push %%rax
      lretq
      .code32
   1: mov $5,%%eax
      .byte 0x48
      .byte 0x48
      push $8
      push %%ebp
      lret
      .code64
   3: pop %%rbp
      mov %%rax,%0)"
                 : "=m"(value)
                 :
                 : "rax", "memory");
  });
  expect_no_trap(t, "there and back");
  expect(value, 3, "0x48 decrements");
}

TEST(swapgs_and_bases) {
  write_msr(kMsrGsBase, 0x1111000);
  write_msr(kMsrKernelGsBase, 0x2222000);
  asm volatile("swapgs");
  expect(read_msr(kMsrGsBase), 0x2222000, "GS base");
  expect(read_msr(kMsrKernelGsBase), 0x1111000, "kernel GS base");
  static u64 cell = 0x1234567890abcdef;
  write_msr(kMsrFsBase, reinterpret_cast<Word>(&cell) - 0x70);
  Word v;
  asm volatile("mov %%fs:0x70,%0" : "=r"(v));
  expect(v, cell, "fs:[0x70]");
  const u16 data = kSelData;
  asm volatile("mov %0,%%fs" ::"r"(data));
  expect(read_msr(kMsrFsBase), 0, "loading FS takes the descriptor's base");
  write_msr(kMsrGsBase, 0);
  if (!(cpuid7().b & 1)) return;
  expect_trap(USER_TRAP("rdfsbase %%rax"), kUD, 0, "rdfsbase without FSGSBASE");
  write_cr4(read_cr4() | kCr4Fsgsbase);
  asm volatile("mov $0x123456789,%%rax; wrfsbase %%rax" ::: "rax");
  expect(read_msr(kMsrFsBase), 0x123456789, "wrfsbase");
  expect_trap(attempt([] { asm volatile("wrgsbase %0" ::"r"(kNonCanonical)); }), kGP, 0,
              "wrgsbase non-canonical");
  expect_trap(USER_TRAP("rdgsbase %%rax; wrgsbase %%rax"), kUserExit, "in ring 3");
}

TEST(lar_lsl_verr_verw) {
  Word lar = 0, flags = 0;
  asm volatile("xor %%eax,%%eax; lar %%cx,%%eax; pushfq; pop %1; mov %%rax,%0"
               : "=r"(lar), "=r"(flags)
               : "c"(kSelUserData)
               : "rax", "cc");
  expect(flags & kZf, kZf, "lar ZF");
  expect(lar & 0xf0ff00, (gdt[4] >> 32) & 0xf0ff00, "lar");  // bits 19:16 are undefined
  asm volatile("lsl %%ecx,%%eax; pushfq; pop %1" : "=a"(lar), "=r"(flags) : "c"(kSelUserData), "a"(0) : "cc");
  expect(lar, 0xffffffff, "lsl scales by G");
  asm volatile("verw %%cx; pushfq; pop %0" : "=r"(flags) : "c"(kSelCode) : "cc");
  expect(flags & kZf, 0, "verw code");
  asm volatile("verr %%cx; pushfq; pop %0" : "=r"(flags) : "c"(kSelCode) : "cc");
  expect(flags & kZf, kZf, "verr readable code");
  asm volatile("lar %%ecx,%%eax; pushfq; pop %0" : "=r"(flags) : "c"(0xfff8) : "rax", "cc");
  expect(flags & kZf, 0, "lar beyond the GDT");
}

TEST(flags_after_reset_values) {
  expect(read_flags() & 2, 2, "bit 1 reads as one");
  write_flags(~Word{0} & ~(kIf | kTf | kNt | kVm));
  const Word f = read_flags();
  write_flags(2);
  expect(f & 0x8028, 0, "bits 3, 5, 15 read as zero");
  expect(f & kRf, 0, "POPF clears RF");
}
