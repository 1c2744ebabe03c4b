// Exceptions and their error codes in 64-bit mode. SDM 3A 6.13 (error codes),
// 6.15 (each vector), table 6-5 (double faults).
#include "test.h"

#define ASM_TRAP(text, ...) attempt([] { asm volatile(text ::: "rax", "rbx", "rcx", "rdx", "memory", "cc"); })

namespace {
constexpr Word kNonCanonical = 0x800000000000;
u8 bytes[64] __attribute__((aligned(64)));

Trap load_ds(u16 sel) {
  const Trap t = attempt([=] { asm volatile("mov %0,%%ds" ::"r"(sel)); });
  asm volatile("mov %0,%%ds" ::"r"(kSelData));
  return t;
}
Trap load_ss(u16 sel) {
  const Trap t = attempt([=] {
    asm volatile("mov %%ss,%%ecx; mov %0,%%ss; mov %%ecx,%%ss" ::"r"(sel) : "ecx");
  });
  return t;
}
u64& slot(unsigned i) {
  return gdt[kSelTest / 8 + i];
}
u16 selector(unsigned i) {
  return static_cast<u16>(kSelTest + 8 * i);
}
Trap far_return_to(u16 sel) {
  return attempt([=] {
    asm volatile("push %0; lea 1f(%%rip),%%rax; push %%rax; lretq; 1:" ::"r"(Word{sel}) : "rax", "memory");
  });
}
constexpr u32 kData = kDescP | kDescS | kDescWrite;
constexpr u32 kCode64 = kDescP | kDescS | kDescCode | kDescRead | kDescL;
}  // namespace

TEST(de_divide_by_zero) {
  expect_trap(ASM_TRAP("xor %%edx,%%edx; xor %%ecx,%%ecx; mov $1,%%eax; div %%ecx"), kDE, 0, "div");
  expect_trap(ASM_TRAP("mov $1,%%edx; mov $1,%%ecx; div %%ecx"), kDE, 0, "div overflow");
  expect_trap(ASM_TRAP("mov $0x8000,%%ax; mov $0xff,%%cl; idiv %%cl"), kDE, 0, "idiv byte overflow");
  expect_trap(ASM_TRAP("mov $0x80000000,%%eax; cltd; mov $-1,%%ecx; idiv %%ecx"), kDE, 0, "INT_MIN / -1");
  expect_trap(ASM_TRAP("movabs $0x8000000000000000,%%rax; cqto; mov $-1,%%rcx; idiv %%rcx"), kDE, 0,
              "INT64_MIN / -1");
}

TEST(de_faults_before_the_instruction) {
  Word at = 0;
  const Trap t = attempt([&] {
    asm volatile("lea 1f(%%rip),%%rax; mov %%rax,%0; xor %%ecx,%%ecx; xor %%edx,%%edx; 1: div %%ecx"
                 : "=m"(at)
                 :
                 : "rax", "rcx", "rdx");
  });
  expect(t.ip, at, "ip");
  expect(t.flags & kRf, kRf, "RF in the pushed flags of a fault");
}

TEST(bp_int3_is_a_trap) {
  Word at = 0;
  const Trap t = attempt([&] {
    asm volatile("lea 1f(%%rip),%%rax; mov %%rax,%0; int3; 1:" : "=m"(at) : : "rax");
  });
  expect_trap(t, kBP, 0, "int3");
  expect(t.ip, at, "ip after");
  expect(t.flags & kRf, 0, "no RF");
}

TEST(db_icebp) {
  expect_trap(ASM_TRAP(".byte 0xf1"), kDB, 0, "int1");
}

TEST(ud_invalid_opcodes) {
  expect_trap(ASM_TRAP("ud2"), kUD, 0, "ud2");
  expect_trap(ASM_TRAP(".byte 0x0f,0xff,0xc0"), kUD, 0, "ud0");
  expect_trap(ASM_TRAP(".byte 0xf0,0x89,0xc0"), kUD, 0, "lock mov reg");
  expect_trap(ASM_TRAP("lea bytes_for_lock(%%rip),%%rax; .byte 0xf0,0x89,0x00; bytes_for_lock: .long 0"), kUD,
              0, "lock mov mem");
  expect_trap(ASM_TRAP(".byte 0xf0,0x01,0xc0"), kUD, 0, "lock add reg");
  expect_trap(ASM_TRAP(".byte 0x06"), kUD, 0, "push es");
  expect_trap(ASM_TRAP(".byte 0x27"), kUD, 0, "daa");
  expect_trap(ASM_TRAP(".byte 0xd4,0x0a"), kUD, 0, "aam");
  expect_trap(ASM_TRAP(".byte 0xce"), kUD, 0, "into");
  expect_trap(ASM_TRAP(".byte 0x60"), kUD, 0, "pusha");
  expect_trap(ASM_TRAP(".byte 0x9a,0,0,0,0,0,0"), kUD, 0, "direct far call");
  expect_trap(ASM_TRAP(".byte 0xea,0,0,0,0,0,0"), kUD, 0, "direct far jump");
  expect_trap(ASM_TRAP(".byte 0x8e,0xc8"), kUD, 0, "mov cs");
  expect_trap(ASM_TRAP(".byte 0x8e,0xf0"), kUD, 0, "mov segment 6");
  expect_trap(ASM_TRAP(".byte 0x0f,0x20,0xc8"), kUD, 0, "mov cr1");
  expect_trap(ASM_TRAP(".byte 0x0f,0x20,0xe8"), kUD, 0, "mov cr5");
  expect_trap(ASM_TRAP(".byte 0x8d,0xc0"), kUD, 0, "lea reg,reg");
  expect_trap(ASM_TRAP(".byte 0x0f,0xc7,0xc8"), kUD, 0, "cmpxchg8b reg");
  expect_trap(ASM_TRAP(".byte 0x0f,0x01,0xf8; 1:; .byte 0x0f,0xa6,0xc0"), kUD, 0, "0f a6");
  asm volatile(".byte 0x0f,0x01,0xf8");  // SWAPGS again: GS base as before
}

TEST(gp_instruction_longer_than_15_bytes) {
  expect_trap(
      ASM_TRAP(".byte 0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x90"), kGP,
      0, "16 bytes");
  expect_trap(ASM_TRAP(".byte 0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x90"),
              kNoTrap, "15 bytes");
}

TEST(nm_em_ts_mp) {
  const Word cr0 = read_cr0();
  write_cr0(cr0 | kCr0Ts);
  expect_trap(ASM_TRAP("fld1"), kNM, 0, "TS: x87");
  expect_trap(ASM_TRAP("addps %%xmm0,%%xmm0"), kNM, 0, "TS: SSE");
  expect_trap(ASM_TRAP("fwait"), kNM, 0, "TS+MP: fwait");
  expect_trap(ASM_TRAP("paddb %%mm0,%%mm0"), kNM, 0, "TS: MMX");
  asm volatile("clts");
  expect_trap(ASM_TRAP("fwait; addps %%xmm0,%%xmm0"), kNoTrap, "after clts");
  write_cr0((cr0 & ~kCr0Mp) | kCr0Ts);
  expect_trap(ASM_TRAP("fwait"), kNoTrap, "TS without MP: fwait");
  write_cr0((cr0 | kCr0Em) & ~kCr0Ts);
  expect_trap(ASM_TRAP("fld1"), kNM, 0, "EM: x87");
  expect_trap(ASM_TRAP("addps %%xmm0,%%xmm0"), kUD, 0, "EM: SSE");
  expect_trap(ASM_TRAP("paddb %%mm0,%%mm0"), kUD, 0, "EM: MMX");
  write_cr0(cr0);
  write_cr4(read_cr4() & ~kCr4Osfxsr);
  expect_trap(ASM_TRAP("addps %%xmm0,%%xmm0"), kUD, 0, "no OSFXSR: SSE");
}

TEST(mf_x87_exception) {
  const Trap t = attempt([] {
    u16 cw = 0x37b;  // zero divide unmasked
    asm volatile("fninit; fldcw %0; fld1; fldz; fdivrp; nop; fwait" ::"m"(cw));
  });
  expect_trap(t, kMF, 0, "waits, then #MF");
  u16 sw = 0;
  asm volatile("fnstsw %0; fninit" : "=m"(sw));
  expect(sw & 0x84, 0x84, "ES and ZE in the status word");
}

TEST(xm_simd_exception) {
  const u32 unmasked = 0x1f80 & ~0x200u, normal = 0x1f80;
  const auto divide = [&] {
    return attempt([&] {
      asm volatile(
          "ldmxcsr %0; xorps %%xmm1,%%xmm1; mov $0x3f800000,%%eax; movd %%eax,%%xmm0; divss %%xmm1,%%xmm0" ::
              "m"(unmasked)
          : "rax");
    });
  };
  expect_trap(divide(), kXM, 0, "OSXMMEXCPT");
  u32 csr = 0;
  asm volatile("stmxcsr %0" : "=m"(csr));
  expect(csr & 0x3f, 4, "ZE sticky");
  write_cr4(read_cr4() & ~kCr4Osxmmexcpt);
  asm volatile("ldmxcsr %0" ::"m"(normal));
  expect_trap(divide(), kUD, 0, "without OSXMMEXCPT");
  write_cr4(read_cr4() | kCr4Osxmmexcpt);
  asm volatile("ldmxcsr %0" ::"m"(normal));
}

TEST(gp_misaligned_vector_operands) {
  expect_trap(attempt([] { asm volatile("movaps (%0),%%xmm0" ::"r"(bytes + 4)); }), kGP, 0, "movaps");
  expect_trap(attempt([] { asm volatile("addps (%0),%%xmm0" ::"r"(bytes + 4)); }), kGP, 0, "addps");
  expect_trap(attempt([] { asm volatile("movups (%0),%%xmm0" ::"r"(bytes + 4)); }), kNoTrap, "movups");
  expect_trap(attempt([] { asm volatile("fxsave64 (%0)" ::"r"(bytes + 8)); }), kGP, 0, "fxsave");
  if (cpuid(1).c & (1 << 13))
    expect_trap(attempt([] {
                  asm volatile("lock cmpxchg16b (%0)" ::"r"(bytes + 8) : "rax", "rdx", "cc", "memory");
                }),
                kGP, 0, "cmpxchg16b");
}

TEST(gp_mxcsr_reserved) {
  const u32 bad = 0x10000;
  expect_trap(attempt([&] { asm volatile("ldmxcsr %0" ::"m"(bad)); }), kGP, 0, "ldmxcsr");
}

TEST(gp_non_canonical_with_high_byte_register) {
  // The second address is the translator's own mark of an empty entry.
  static constexpr Word kAddresses[] = {kNonCanonical, 0x6a09e667f3bcc123};
  for (const Word address : kAddresses) {
    static Word where;
    where = address;
    const Trap t = attempt([] {
      asm volatile("mov $0x1234,%%esi; mov (%0),%%ah" ::"r"(where) : "rax", "rsi", "memory");
    });
    expect_trap(t, kGP, 0, "load to AH");
    expect(t.si, 0x1234, "rsi is as it was");
  }
}

TEST(gp_and_ss_non_canonical) {
  expect_trap(attempt([] { asm volatile("mov (%0),%%eax" ::"r"(kNonCanonical) : "rax"); }), kGP, 0, "load");
  expect_trap(attempt([] { asm volatile("mov %%eax,(%0)" ::"r"(kNonCanonical)
                                        : "memory"); }), kGP, 0,
              "store");
  expect_trap(attempt([] {
                asm volatile("push %%rbp; mov %0,%%rbp; mov (%%rbp),%%eax; pop %%rbp" ::"r"(kNonCanonical)
                             : "rax", "memory");
              }),
              kSS, 0, "by rbp");
  set_gate(kSS, kSelCode, stub_address(kSS), 0x8e, 1);  // the stack that faulted can't take the frame
  expect_trap(attempt([] {
                asm volatile(
                    "mov %%rsp,%%rcx; mov %0,%%rsp; push %%rax; mov %%rcx,%%rsp" ::"r"(kNonCanonical + 64)
                    : "rcx", "memory");
              }),
              kSS, 0, "push");
  expect_trap(attempt([] { asm volatile("jmp *%0" ::"r"(kNonCanonical)); }), kGP, 0, "jump");
  expect_trap(attempt([] { asm volatile("push %0; ret" ::"r"(kNonCanonical) : "memory"); }), kGP, 0, "ret");
  expect_trap(
      attempt([] {
        asm volatile(
            "mov %%rsp,%%rcx; push $0x10; push %%rcx; push $2; push $8; push %0; iretq" ::"r"(kNonCanonical)
            : "rcx", "memory");
      }),
      kGP, 0, "iretq");
  expect_trap(attempt([] { asm volatile("call *%0" ::"r"(kNonCanonical) : "memory"); }), kGP, 0, "call");
}

TEST(gp_control_registers) {
  const Word cr0 = read_cr0(), cr4 = read_cr4();
  expect_trap(attempt([=] { write_cr0(cr0 & ~kCr0Pe); }), kGP, 0, "PG without PE");
  expect_trap(attempt([=] { write_cr0((cr0 & ~kCr0Cd) | kCr0Nw); }), kGP, 0, "NW without CD");
  expect_trap(attempt([=] { write_cr0(cr0 | 1ull << 32); }), kGP, 0, "CR0 bit 32");
  expect_trap(attempt([=] { write_cr4(cr4 & ~kCr4Pae); }), kGP, 0, "PAE off in long mode");
  expect_trap(attempt([=] { write_cr4(cr4 | 1ull << 15); }), kGP, 0, "CR4 bit 15");
  expect_trap(attempt([=] { write_cr4(cr4 | 1ull << 40); }), kGP, 0, "CR4 bit 40");
  expect_trap(attempt([=] { write_cr4(cr4 ^ kCr4La57); }), kGP, 0, "LA57 in long mode");
  expect_trap(attempt([] { write_cr3(read_cr3() | 1ull << 62); }), kGP, 0, "CR3 bit 62");
  expect_trap(attempt([] { write_cr8(16); }), kGP, 0, "CR8 16");
  expect_trap(attempt([] { write_dr7(1ull << 32); }), kGP, 0, "DR7 bit 32");
  expect_trap(attempt([] { write_dr6(1ull << 32); }), kGP, 0, "DR6 bit 32");
  write_cr4(cr4 | kCr4De);
  expect_trap(ASM_TRAP("mov %%dr4,%%rax"), kUD, 0, "DR4 under DE");
  write_cr4(cr4);
  expect_trap(ASM_TRAP("mov %%dr4,%%rax"), kNoTrap, "DR4 is DR6 without DE");
  expect(read_cr0(), cr0, "CR0 unchanged");
  expect(read_cr4(), cr4, "CR4 unchanged");
}

TEST(gp_msrs) {
  expect_trap(attempt([] { read_msr(0x12345678); }), kGP, 0, "rdmsr unknown");
  expect_trap(attempt([] { write_msr(0x12345678, 0); }), kGP, 0, "wrmsr unknown");
  expect_trap(attempt([] { write_msr(kMsrEfer, read_msr(kMsrEfer) | 1ull << 32); }), kGP, 0, "EFER reserved");
  expect_trap(attempt([] { write_msr(kMsrEfer, read_msr(kMsrEfer) & ~kEferLme); }), kGP, 0,
              "LME off while paging");
  expect_trap(attempt([] { write_msr(kMsrFsBase, kNonCanonical); }), kGP, 0, "FS base");
  expect_trap(attempt([] { write_msr(kMsrKernelGsBase, kNonCanonical); }), kGP, 0, "kernel GS base");
  expect_trap(attempt([] { write_msr(kMsrLstar, kNonCanonical); }), kGP, 0, "LSTAR");
  expect_trap(attempt([] { write_msr(kMsrPat, 2); }), kGP, 0, "PAT type 2");
}

TEST(segment_load_error_codes) {
  slot(0) = make_descriptor(0, 0xfffff, kData & ~kDescP);
  slot(1) = make_descriptor(0, 0xfffff, kDescP | kDescS | kDescCode);  // execute-only
  slot(2) = make_descriptor(0, 0xfffff, kDescP | kDescS);              // read-only
  slot(3) = make_descriptor(0, 0xfffff, kData | kDescDpl3);
  slot(4) = make_descriptor(0, 0x67, kDescP | 0x900);  // TSS
  expect_trap(load_ds(selector(0)), kNP, selector(0), "ds not present");
  expect_trap(load_ds(selector(1)), kGP, selector(1), "ds execute-only");
  expect_trap(load_ds(selector(2)), kNoTrap, "ds read-only");
  expect_trap(load_ds(selector(4)), kGP, selector(4), "ds system segment");
  expect_trap(load_ds(0xfff8), kGP, 0xfff8, "ds beyond the GDT");
  expect_trap(load_ds(0xfffb), kGP, 0xfff8, "RPL is not in the error code");
  expect_trap(load_ds(0x0c), kGP, 0x0c, "ds in a null LDT");
  expect_trap(load_ds(0), kNoTrap, "ds null");
  expect_trap(load_ss(selector(0)), kSS, selector(0), "ss not present");
  expect_trap(load_ss(selector(2)), kGP, selector(2), "ss read-only");
  expect_trap(load_ss(selector(3)), kGP, selector(3), "ss DPL 3");
  expect_trap(load_ss(kSelCode), kGP, kSelCode, "ss code");
  expect_trap(load_ss(0), kNoTrap, "ss null, RPL 0");
  expect_trap(load_ss(3), kGP, 0, "ss null, RPL 3");
}

TEST(segment_load_sets_accessed) {
  slot(0) = make_descriptor(0, 0xfffff, kData);
  load_ds(selector(0));
  expect(slot(0) >> 40 & 1, 1, "accessed");
}

TEST(ldt_and_tr_error_codes) {
  slot(0) = make_descriptor(0, 0xffff, 0x200);  // LDT, not present
  slot(1) = 0;
  expect_trap(attempt([] { lldt(selector(0)); }), kNP, selector(0), "lldt not present");
  expect_trap(attempt([] { lldt(kSelData); }), kGP, kSelData, "lldt data");
  expect_trap(attempt([] { lldt(0); }), kNoTrap, "lldt null");
  expect_trap(attempt([] { lldt(0xfff0); }), kGP, 0xfff0, "lldt beyond");
  expect_trap(attempt([] { ltr(kSelTss); }), kGP, kSelTss, "ltr busy");
  expect_trap(attempt([] { ltr(0); }), kGP, 0, "ltr null");
  slot(2) = make_descriptor(0, 0x67, 0x900);
  slot(3) = 0;
  expect_trap(attempt([] { ltr(selector(2)); }), kNP, selector(2), "ltr not present");
  static u64 table[4];
  table[1] = make_descriptor(0, 0xfffff, kData);
  slot(0) = make_descriptor(static_cast<u32>(reinterpret_cast<Word>(table)), 31, kDescP | 0x200);
  lldt(selector(0));
  expect_trap(load_ds(0x0c), kNoTrap, "ds from the LDT");
  expect_trap(load_ds(0x24), kGP, 0x24, "beyond the LDT");
  lldt(0);
}

TEST(code_segment_error_codes) {
  slot(0) = make_descriptor(0, 0xfffff, kCode64 & ~kDescP);
  slot(1) = make_descriptor(0, 0xfffff, kCode64 | kDescDb);
  slot(2) = make_descriptor(0, 0xfffff, kCode64 | kDescDpl3);
  slot(3) = make_descriptor(0, 0xfffff, kCode64);
  expect_trap(far_return_to(selector(0)), kNP, selector(0), "not present");
  expect_trap(far_return_to(selector(1)), kGP, selector(1), "L and D");
  expect_trap(far_return_to(selector(2)), kGP, selector(2), "DPL 3, RPL 0");
  expect_trap(far_return_to(kSelData), kGP, kSelData, "data");
  expect_trap(far_return_to(0), kGP, 0, "null");
  expect_trap(far_return_to(0xfff8), kGP, 0xfff8, "beyond");
  expect_trap(far_return_to(selector(3)), kNoTrap, "good");
  asm volatile("push $8; lea 1f(%%rip),%%rax; push %%rax; lretq; 1:" ::: "rax", "memory");
}

TEST(idt_error_codes) {
  const auto int90 = [] { return attempt([] { asm volatile("int $0x90"); }); };
  const Word e = 0x90 * 8 + 2, stub = stub_address(0x90);
  expect_trap(int90(), 0x90, 0, "good gate");
  set_gate(0x90, kSelCode, stub, 0x0e);
  expect_trap(int90(), kNP, e, "gate not present");
  set_gate(0x90, kSelCode, stub, 0x85);
  expect_trap(int90(), kGP, e, "task gate in long mode");
  set_gate(0x90, kSelCode, stub, 0x82);
  expect_trap(int90(), kGP, e, "LDT type");
  set_gate(0x90, 0, stub, 0x8e);
  expect_trap(int90(), kGP, 0, "null selector");
  set_gate(0x90, kSelData, stub, 0x8e);
  expect_trap(int90(), kGP, kSelData, "data selector");
  set_gate(0x90, kSelCode32, stub, 0x8e);
  expect_trap(int90(), kGP, kSelCode32, "32-bit code");
  slot(0) = make_descriptor(0, 0xfffff, kCode64 & ~kDescP);
  set_gate(0x90, selector(0), stub, 0x8e);
  expect_trap(int90(), kNP, selector(0), "code not present");
  set_gate(0x90, kSelCode, stub, 0x8e);
  expect_trap(user([] { asm volatile("int $0x90"); }), kGP, e, "DPL 0 from ring 3");
  const TablePointer full = sidt();
  lidt({0x90 * 16 - 1, full.base});
  expect_trap(int90(), kGP, e, "beyond the limit");
  lidt({0x90 * 16 + 14, full.base});
  expect_trap(int90(), kGP, e, "one byte short");
  lidt(full);
}

TEST(fault_during_exception_delivery_has_ext) {
  set_gate(kUD, kSelCode, stub_address(kUD), 0x0e);
  expect_trap(ASM_TRAP("ud2"), kNP, kUD * 8 + 2 + 1, "#UD through an absent gate");
  set_gate(kUD, kSelData, stub_address(kUD), 0x8e);
  expect_trap(ASM_TRAP("ud2"), kGP, kSelData + 1, "#UD through a data selector");
}

TEST(df_contributory_exceptions) {
  set_gate(kGP, kSelCode, stub_address(kGP), 0x0e);
  expect_trap(attempt([] { read_msr(0x12345678); }), kDF, 0, "#NP on #GP");
  trap_setup_again();
  set_gate(kDE, kSelCode, stub_address(kDE), 0x0e);
  expect_trap(ASM_TRAP("xor %%ecx,%%ecx; div %%ecx"), kDF, 0, "#NP on #DE");
  trap_setup_again();
  set_gate(kPF, kSelCode, stub_address(kPF), 0x0e);
  expect_trap(attempt([] { asm volatile("mov 0x7000000000,%%eax" ::: "rax"); }), kDF, 0, "#NP on #PF");
}

TEST(df_page_fault_while_pushing) {
  // The stack for #PF is an unmapped page, the one for #DF is IST 1.
  boot_tss.ist[1] = 0x7000000000;
  set_gate(kPF, kSelCode, stub_address(kPF), 0x8e, 2);
  const Trap t = attempt([] { asm volatile("mov 0x7100000000,%%eax" ::: "rax"); });
  expect_trap(t, kDF, 0, "#PF on #PF");
  expect(t.cr2, 0x7000000000 - 8, "CR2 of the second fault");
}

TEST(ist_switches_and_aligns_the_stack) {
  static u8 stack[4096] __attribute__((aligned(16)));
  static Word seen;
  boot_tss.ist[2] = reinterpret_cast<Word>(stack + 4096) - 8;
  set_gate(0x90, kSelCode, stub_address(0x90), 0x8e, 3);
  on_trap(0x90, [](Frame& f) {
    seen = reinterpret_cast<Word>(&f + 1) - 32;
    return true;
  });
  asm volatile("int $0x90");
  expect(seen, reinterpret_cast<Word>(stack + 4096) - 16, "end of frame: IST rounded down to 16");
}

TEST(ac_alignment_check) {
  expect_trap(user([] { asm volatile("mov 1(%0),%%eax" ::"r"(bytes)
                                     : "rax"); }, 2 | kAcFlag), kUserExit,
              "AM clear");
  write_cr0(read_cr0() | kCr0Am);
  expect_trap(user([] { asm volatile("mov 1(%0),%%eax" ::"r"(bytes)
                                     : "rax"); }, 2 | kAcFlag), kAC, 0,
              "dword");
  expect_trap(user([] { asm volatile("mov %%ax,1(%0)" ::"r"(bytes)
                                     : "memory"); }, 2 | kAcFlag), kAC, 0,
              "word store");
  expect_trap(user([] { asm volatile("mov 4(%0),%%rax" ::"r"(bytes)
                                     : "rax"); }, 2 | kAcFlag), kAC, 0,
              "qword at 4");
  expect_trap(user([] { asm volatile("mov 1(%0),%%al" ::"r"(bytes)
                                     : "rax"); }, 2 | kAcFlag), kUserExit,
              "byte");
  expect_trap(user([] { asm volatile("mov 4(%0),%%eax" ::"r"(bytes)
                                     : "rax"); }, 2 | kAcFlag), kUserExit,
              "aligned");
  expect_trap(user([] { asm volatile("mov 1(%0),%%eax" ::"r"(bytes) : "rax"); }), kUserExit, "AC clear");
  expect_trap(user([] { asm volatile("fldl 4(%0); fstp %%st" ::"r"(bytes)); }, 2 | kAcFlag), kAC, 0,
              "x87 double");
  write_flags(read_flags() | kAcFlag);
  expect_trap(attempt([] { asm volatile("mov 1(%0),%%eax" ::"r"(bytes) : "rax"); }), kNoTrap, "ring 0");
  write_flags(2);
}

TEST(iret_faults) {
  expect_trap(attempt([] {
                write_flags(kNt | 2);
                asm volatile(
                    "mov %%rsp,%%rcx; push $0x10; push %%rcx; push $2; push $8; lea 1f(%%rip),%%rax; push "
                    "%%rax; iretq; 1:" ::
                        : "rax", "rcx", "memory");
              }),
              kGP, 0, "NT in long mode");
  write_flags(2);
  expect_trap(attempt([] {
                asm volatile(
                    "mov %%rsp,%%rcx; push $0x23; push %%rcx; push $2; push $8; lea 1f(%%rip),%%rax; push "
                    "%%rax; iretq; 1:" ::
                        : "rax", "rcx", "memory");
              }),
              kGP, 0x20, "SS of ring 3 with CS of ring 0");
  expect_trap(attempt([] {
                asm volatile(
                    "mov %%rsp,%%rcx; push $0; push %%rcx; push $2; push $0x2b; lea 1f(%%rip),%%rax; push "
                    "%%rax; iretq; 1:" ::
                        : "rax", "rcx", "memory");
              }),
              kGP, 0, "null SS to ring 3");
}

TEST(only_triple_fault) {
  lidt({0, 0});
  asm volatile("ud2");
}
