// Call gates, privilege changes and hardware task switches. SDM 3A 5.8, 7.
#include "test.h"

namespace {
u64& slot(unsigned i) {
  return gdt[kSelTest / 8 + i];
}
u16 selector(unsigned i, unsigned rpl = 0) {
  return static_cast<u16>(kSelTest + 8 * i + rpl);
}
u64 call_gate(u16 sel, u32 offset, u32 access, u32 parameters) {
  return (offset & 0xffff) | u64{sel} << 16 | u64{parameters} << 32 | u64{access} << 40 |
         u64{offset >> 16} << 48;
}
struct [[gnu::packed]] TaskState {
  u32 link, esp0, ss0, esp1, ss1, esp2, ss2, cr3, eip, eflags, eax, ecx, edx, ebx, esp, ebp, esi, edi, es, cs,
      ss, ds, fs, gs, ldt;
  u16 trap, iomap;
};
TaskState task;
u8 task_stack[4096] __attribute__((aligned(16)));
void make_task(void (*entry)(), unsigned at) {
  memset(&task, 0, sizeof task);
  task.eip = reinterpret_cast<Word>(entry);
  task.eflags = 2;
  task.esp = reinterpret_cast<Word>(task_stack) + 4096 - 16;
  task.cs = kSelCode;
  task.ss = task.ds = task.es = kSelData;
  task.iomap = sizeof task;
  slot(at) = make_descriptor(reinterpret_cast<Word>(&task), sizeof task - 1, kDescP | 0x900);
}
bool busy(u64 descriptor) {
  return descriptor >> 41 & 1;
}
volatile u32 note[8];
u16 current_task() {
  u16 v;
  asm volatile("str %0" : "=r"(v));
  return v;
}
extern "C" {
void gate_target();
void gate16_target();
void task_iret();
void task_loop();
u32 gate_seen[8];
u32 task_seen[8];
}
asm(R"(
gate16_target:
  mov (%esp), %eax
  int $0x90
gate_target:
  mov %esp, gate_seen
  mov (%esp), %eax
  mov %eax, gate_seen+4
  mov 4(%esp), %eax
  mov %eax, gate_seen+8
  mov 8(%esp), %eax
  mov %eax, gate_seen+12
  mov 12(%esp), %eax
  mov %eax, gate_seen+16
  mov 16(%esp), %eax
  mov %eax, gate_seen+20
  xor %eax, %eax
  mov %cs, %ax
  mov %eax, gate_seen+24
  lret $8

task_iret:
  mov %eax, task_seen
  pushf
  popl task_seen+4
  mov %esp, task_seen+8
  mov %cr0, %eax
  mov %eax, task_seen+12
  mov $0x1234, %ecx
  iret
  mov $0x5678, %ecx
  incl task_seen+16
  iret
  jmp task_iret
task_loop:
  incl task_seen+20
  ljmp $0x400, $0
  jmp task_loop
)");
}  // namespace

TEST(call_gate_to_ring_0_copies_parameters) {
  slot(0) = call_gate(kSelCode, reinterpret_cast<Word>(gate_target), 0xec, 2);
  const Trap t = user([] {
    asm volatile("push $0x2222; push $0x1111; lcall $0x60,$0; mov %%esp,%%ecx" ::: "eax", "ecx", "memory");
  });
  expect_trap(t, kUserExit, "returned");
  expect(gate_seen[0], boot_tss.esp0 - 24, "six words on the ring 0 stack");
  expect(gate_seen[2], kSelUserCode32, "CS");
  expect(gate_seen[3], 0x1111, "first parameter");
  expect(gate_seen[4], 0x2222, "second parameter");
  expect(gate_seen[6], kSelCode, "CS inside");
}

TEST(call_gate_same_level) {
  slot(0) = call_gate(kSelCode, reinterpret_cast<Word>(gate_target), 0x8c, 2);
  const Trap t = attempt([] {
    asm volatile("push $0x2222; push $0x1111; lcall $0x60,$0" ::: "eax", "memory");
  });
  expect_trap(t, kNoTrap, "returned");
  expect(gate_seen[3], 0x1111, "no copy, parameters lie above");
}

TEST(call_gate_errors) {
  slot(0) = call_gate(kSelCode, reinterpret_cast<Word>(gate_target), 0x8c, 0);
  const auto call = [] { return user([] { asm volatile("lcall $0x60,$0" ::: "memory"); }); };
  expect_trap(call(), kGP, selector(0), "gate DPL 0 from ring 3");
  slot(0) = call_gate(kSelCode, reinterpret_cast<Word>(gate_target), 0x6c, 0);
  expect_trap(call(), kNP, selector(0), "not present");
  slot(0) = call_gate(0, 0, 0xec, 0);
  expect_trap(call(), kGP, 0, "null target");
  slot(0) = call_gate(kSelData, 0, 0xec, 0);
  expect_trap(call(), kGP, kSelData, "data target");
  slot(0) = call_gate(kSelCode, reinterpret_cast<Word>(gate_target), 0xec, 0);
  // To ring 1, so that the fault itself is delivered on a good ring 0 stack.
  slot(1) = make_descriptor(0, 0xfffff, kDescP | kDescS | kDescCode | kDescRead | kDescDb | kDescG | 0x2000);
  slot(0) = call_gate(selector(1), reinterpret_cast<Word>(gate_target), 0xec, 0);
  boot_tss.ss1 = kSelCode;
  expect_trap(call(), kTS, kSelCode, "SS1 is code: #TS");
  boot_tss.ss1 = 0;
  expect_trap(call(), kTS, 0, "SS1 null: #TS");
  boot_tss.ss1 = kSelData;
  expect_trap(call(), kTS, kSelData, "SS1 of RPL 0: #TS");
  slot(0) = call_gate(kSelCode, reinterpret_cast<Word>(gate_target), 0xec, 0);
  expect_trap(user([] { asm volatile("ljmp $0x60,$0"); }), kGP, kSelCode, "a jump can't raise privilege");
}

TEST(call_gate_of_16_bits) {
  // A 286 call gate takes 16 bits of the offset: point it at a 16-bit alias of the target.
  slot(1) = make_descriptor(reinterpret_cast<Word>(gate16_target) & ~0xfffu, 0xffff,
                            kDescP | kDescS | kDescCode | kDescRead | kDescDb);
  slot(0) = call_gate(selector(1), (reinterpret_cast<Word>(gate16_target) & 0xfff) | 0xabcd0000, 0x84, 0);
  const Trap t = attempt([] { asm volatile("lcall $0x60,$0" ::: "memory"); });
  expect_trap(t, 0x90, "entered at the low 16 bits of the offset");
  expect(t.ax >> 16, kSelCode, "16-bit frame: ip and cs as words");
}

TEST(task_switch_by_call_and_iret) {
  make_task(task_iret, 0);
  task.eax = 0x77;
  const u32 saved_link = task.link;
  (void)saved_link;
  u32 ecx = 0xbeef;
  asm volatile("lcall $0x60,$0" : "+c"(ecx) : : "memory");
  expect(ecx, 0xbeef, "the caller's registers are back");
  expect(task_seen[0], 0x77, "eax from the TSS");
  expect(task_seen[1] & kNt, kNt, "NT in the called task");
  expect(task_seen[3] & kCr0Ts, kCr0Ts, "CR0.TS");
  expect(task.link & 0xffff, kSelTss, "back link");
  expect(task.ecx, 0x1234, "registers saved at IRET");
  expect(task.eflags & kNt, 0, "NT cleared in the image that IRET saves");
  expect(busy(slot(0)), false, "no longer busy");
  expect(busy(gdt[kSelTss / 8]), true, "ours is");
  expect(current_task(), kSelTss, "TR");
  asm volatile("clts");
  // Called again it goes on behind its IRET.
  asm volatile("lcall $0x60,$0" : "+c"(ecx) : : "memory");
  expect(task.ecx, 0x5678, "second run");
  asm volatile("clts");
}

TEST(task_switch_by_jump) {
  make_task(task_loop, 0);
  task_seen[5] = 0;
  for (unsigned i = 1; i <= 3; ++i) {
    asm volatile("ljmp $0x60,$0" ::: "memory");
    expect(task_seen[5], i, "ran");
    expect(busy(slot(0)), false, "left by a jump: not busy");
    expect(read_flags() & kNt, 0, "no NT");
  }
  asm volatile("clts");
}

TEST(task_gate_in_gdt_and_idt) {
  make_task(task_iret, 0);
  slot(1) = call_gate(selector(0), 0, 0x85, 0);
  asm volatile("lcall $0x68,$0" ::: "memory");
  expect(task.ecx, 0x1234, "task gate in the GDT");
  make_task(task_iret, 0);
  set_gate(0x90, selector(0), 0, 0x85);
  asm volatile("int $0x90" ::: "memory");
  expect(task.ecx, 0x1234, "task gate in the IDT");
  asm volatile("clts");
}

TEST(task_gate_error_code_is_pushed) {
  // #GP through a task gate: the error code is on the new task's stack.
  make_task(task_iret, 0);
  set_gate(kGP, selector(0), 0, 0x85);
  static u32 seen;
  seen = 0;
  extern void task_error();
  asm volatile(R"(
    movl $1f, %0
    jmp 2f
 1: popl %%eax
    mov %%eax, %1
    mov %2, %%ebx
    addl $7, 32(%%ebx)      # skip the faulting instruction: eip in the old TSS
    iret
 2:)"
               : "=m"(task.eip), "=m"(seen)
               : "m"(note[0])
               : "memory");
  note[0] = reinterpret_cast<Word>(&boot_tss);
  asm volatile("mov $0xfff8,%%eax; 1: mov %%eax,%%fs; nop; nop; nop; nop; nop; nop; nop; nop" ::
                   : "eax", "memory");
  expect(seen, 0xfff8, "error code");
  asm volatile("clts");
}

TEST(task_switch_errors) {
  make_task(task_iret, 0);
  const auto call = [] { return attempt([] { asm volatile("lcall $0x60,$0" ::: "memory"); }); };
  slot(0) &= ~(u64{kDescP} << 32);
  expect_trap(call(), kNP, selector(0), "TSS not present");
  make_task(task_iret, 0);
  slot(0) = make_descriptor(reinterpret_cast<Word>(&task), 0x66, kDescP | 0x900);
  expect_trap(call(), kTS, selector(0), "limit below 0x67");
  make_task(task_iret, 0);
  slot(0) |= u64{0x200} << 32;
  expect_trap(call(), kGP, selector(0), "busy");
  make_task(task_iret, 0);
  slot(0) |= u64{kDescDpl3} << 32;
  slot(0) &= ~(u64{kDescDpl3} << 32);
  expect_trap(user([] { asm volatile("lcall $0x60,$0"); }), kGP, selector(0), "TSS of DPL 0 from ring 3");
  asm volatile("clts");
}

TEST(task_trap_bit) {
  make_task(task_iret, 0);
  task.trap = 1;
  const Trap t = attempt([] { asm volatile("lcall $0x60,$0" ::: "memory"); });
  expect_trap(t, kDB, 0, "T bit");
  expect(read_dr6() & 0x8000, 0x8000, "DR6.BT");
  expect(t.ip, reinterpret_cast<Word>(task_iret), "before the first instruction of the task");
  // Back to our own TSS.
  trap_setup();
  write_flags(2);
  asm volatile("clts");
}

TEST(task_ldt_is_loaded) {
  static u64 table[2];
  table[1] = make_descriptor(0, 0xfffff, kDescP | kDescS | kDescWrite | kDescDb | kDescG);
  slot(1) = make_descriptor(reinterpret_cast<Word>(table), sizeof table - 1, kDescP | 0x200);
  make_task(task_iret, 0);
  task.ldt = selector(1);
  task.ds = 0x0c;
  asm volatile("lcall $0x60,$0" ::: "memory");
  expect(task.ds & 0xffff, 0x0c, "DS from the task's LDT");
  u16 ldt;
  asm volatile("sldt %0" : "=r"(ldt));
  expect(ldt, 0, "ours is null again");
  asm volatile("clts");
}
