// GDT, IDT, TSS and the trap entry of the guest test kernels.
#include "test.h"

u64 gdt[256];
Gate idt[256];
Tss boot_tss;
Word user_call_target;
bool swallow_interrupts;

extern "C" {
extern u8 trap_stubs[];
extern u8 boot_stack_top[];
}

namespace {
TrapHandler handlers[256];
Cpu cpus[kMaxCpus];
alignas(4096) u8 user_stack_space[16384];
alignas(16) u8 ring0_stack[16384];
alignas(16) u8 double_fault_stack[8192];
#ifdef __x86_64__
struct [[gnu::packed]] ApTss {
  u32 r0;
  u64 rsp[3];
  u64 r1;
  u64 ist[7];
  u64 r2;
  u16 r3, iomap;
};
ApTss ap_tss[kMaxCpus];
#endif

void set_tss_descriptor(u16 selector, Word base, u32 limit) {
  gdt[selector / 8] = make_descriptor(static_cast<u32>(base), limit, kDescP | 0x900);
  if (k64Bit) gdt[selector / 8 + 1] = static_cast<u64>(base) >> 32;
}
}  // namespace

u8* user_stack() {
  return user_stack_space + sizeof user_stack_space - 64;
}

unsigned cpu_index() {
  return (cpuid(1).b >> 24) % kMaxCpus;
}
Cpu& this_cpu() {
  return cpus[cpu_index()];
}

void on_trap(Word vector, TrapHandler handler) {
  handlers[vector] = handler;
}
void clear_handlers() {
  for (TrapHandler& h : handlers) h = nullptr;
}

Word stub_address(Word vector) {
  return reinterpret_cast<Word>(trap_stubs) + vector * 16;
}

void set_gate(Word vector, u16 selector, Word offset, u8 type_dpl, u8 ist) {
  const u64 o = offset;
  idt[vector].low =
      (o & 0xffff) | u64{selector} << 16 | u64{ist} << 32 | u64{type_dpl} << 40 | ((o >> 16) & 0xffff) << 48;
#ifdef __x86_64__
  idt[vector].high = o >> 32;
#endif
}

extern "C" void trap_entry(Frame& f) {
#ifdef __x86_64__
  if (f.vector == kWakeVector) {  // an idle processor has work (lib/smp64.cc)
    *reinterpret_cast<volatile u32*>(0xfee000b0) = 0;
    return;
  }
#endif
#ifdef __x86_64__
  if (swallow_interrupts && f.vector >= 32 && f.vector != kUserExit) {
    *reinterpret_cast<volatile u32*>(0xfee000b0) = 0;
    return;
  }
#endif
  const TrapHandler handler = handlers[f.vector];
  if (handler && handler(f)) return;
  Cpu& cpu = this_cpu();
  if (!cpu.recover) {
    print("# trap without attempt, vector ");
    print_dec(f.vector);
    print(" error ");
    print_hex(f.error);
    print(" ip ");
    print_hex(f.ip);
    print("\n");
    leave(0x7f);
  }
  Trap& t = *cpu.trap;
  t = {f.vector, f.error, f.ip, f.cs, f.flags, f.sp, f.ss, read_cr2(),
       f.ax,     f.bx,    f.cx, f.dx, f.si,    f.di, f.bp};
  recover_jump(*cpu.recover);
}

void use_boot_tables() {
  lgdt({sizeof gdt - 1, reinterpret_cast<Word>(gdt)});
  lidt({sizeof idt - 1, reinterpret_cast<Word>(idt)});
}

void trap_setup() {
  const u32 flat = kDescP | kDescS | kDescG | kDescAccessed;
  gdt[1] = make_descriptor(0, 0xfffff, flat | kDescCode | kDescRead | (k64Bit ? kDescL : kDescDb));
  gdt[2] = make_descriptor(0, 0xfffff, flat | kDescWrite | kDescDb);
  gdt[3] = make_descriptor(0, 0xfffff, flat | kDescCode | kDescRead | kDescDb | kDescDpl3);
  gdt[4] = make_descriptor(0, 0xfffff, flat | kDescWrite | kDescDb | kDescDpl3);
  gdt[5] = make_descriptor(0, 0xfffff, flat | kDescCode | kDescRead | kDescL | kDescDpl3);
  gdt[6] = make_descriptor(0, 0xfffff, flat | kDescCode | kDescRead | kDescDb);
  gdt[7] = make_descriptor(0, 0xffff, (flat & ~kDescG) | kDescCode | kDescRead);
  gdt[8] = make_descriptor(0, 0xffff, (flat & ~kDescG) | kDescWrite);
  for (Word v = 0; v < 256; ++v) set_gate(v, kSelCode, stub_address(v), 0x8e);
  const Word open_gates[] = {kBP, kOF, kUserExit};
  for (const Word v : open_gates) set_gate(v, kSelCode, stub_address(v), 0xee);
  boot_tss.iomap = sizeof boot_tss - sizeof boot_tss.bitmap;
  memset(boot_tss.bitmap, 0xff, sizeof boot_tss.bitmap);
#ifdef __x86_64__
  boot_tss.rsp[0] = reinterpret_cast<Word>(ring0_stack + sizeof ring0_stack);
  boot_tss.ist[0] = reinterpret_cast<Word>(double_fault_stack + sizeof double_fault_stack);
  set_gate(kDF, kSelCode, stub_address(kDF), 0x8e, 1);
#else
  boot_tss.esp0 = reinterpret_cast<Word>(ring0_stack + sizeof ring0_stack);
  boot_tss.ss0 = kSelData;
  (void)double_fault_stack;
#endif
  set_tss_descriptor(kSelTss, reinterpret_cast<Word>(&boot_tss), sizeof boot_tss - 1);
  use_boot_tables();
  ltr(kSelTss);
}

#ifdef __x86_64__
void trap_setup_ap(unsigned cpu, u8* stack_top) {
  use_boot_tables();
  ApTss& tss = ap_tss[cpu % kMaxCpus];
  tss.rsp[0] = reinterpret_cast<Word>(stack_top) - 4096;
  tss.ist[0] = reinterpret_cast<Word>(stack_top) - 5120;
  tss.iomap = sizeof tss;
  const u16 selector = static_cast<u16>(kSelTss + 16 * (cpu % kMaxCpus));
  if (selector / 8 + 1 < 256) {
    set_tss_descriptor(selector, reinterpret_cast<Word>(&tss), sizeof tss - 1);
    ltr(selector);
  }
}
#endif

void trap_setup_again() {
  trap_setup();
}
