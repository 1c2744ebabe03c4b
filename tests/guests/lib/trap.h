// Traps for the guest test kernels: every vector lands in trap_entry(), which
// asks a handler that the test installed, or else returns to the innermost
// attempt(). Also ring 3: user() runs a callable there, through an alias
// mapping (64-bit) or segments of another base (32-bit), so that the kernel's
// own pages can stay supervisor pages.
#pragma once
#include "arch.h"

// What an exception left behind. sp and ss are meaningful when the stack
// switched or in 64-bit mode.
struct Trap {
  Word vector, error, ip, cs, flags, sp, ss, cr2, ax, bx, cx, dx, si, di, bp;
};

// The frame as the stubs build it (lib/trap64.S, lib/trap32.S).
struct Frame {
#ifdef __x86_64__
  Word r15, r14, r13, r12, r11, r10, r9, r8, bp, di, si, dx, cx, bx, ax;
#else
  Word gs, fs, es, ds, di, si, bp, ignored, bx, dx, cx, ax;
#endif
  Word vector, error, ip, cs, flags, sp, ss;
  Word v86_es, v86_ds, v86_fs, v86_gs;  // only after virtual-8086 mode
};

// A handler returns true to resume the interrupted code.
using TrapHandler = bool (*)(Frame&);
void on_trap(Word vector, TrapHandler handler);  // nullptr removes it
void clear_handlers();

constexpr Word kWakeVector = 0xf0;
constexpr unsigned kMaxCpus = 64;
struct Cpu {
  Word* recover;  // saved stack pointer of the innermost attempt
  Trap* trap;
  u8* stack_top;  // for ring 3 -> 0
};
Cpu& this_cpu();
unsigned cpu_index();  // initial APIC id

extern "C" int try_call(void (*fn)(void*), void* arg, Word* saved_sp);
extern "C" [[noreturn]] void recover_jump(Word saved_sp);
extern "C" void enter_user(Word ip, Word arg, Word sp, Word flags);

// Runs f; the trap that ended it, or vector kNoTrap.
template <class F>
inline Trap attempt(F f) {
  Cpu& cpu = this_cpu();
  Word* const saved = cpu.recover;
  Trap* const saved_trap = cpu.trap;
  Word sp = 0;
  Trap trap{};
  cpu.recover = &sp;
  cpu.trap = &trap;
  barrier();
  const int trapped = try_call([](void* arg) { (*static_cast<F*>(arg))(); }, &f, &sp);
  cpu.recover = saved;
  cpu.trap = saved_trap;
  if (!trapped) trap.vector = kNoTrap;
  return trap;
}

#ifdef __x86_64__
constexpr Word kUserAlias = 0x40000000;  // the kernel's first 4 MiB again, as user pages
template <class T>
inline T* user_alias(T* p) {
  return reinterpret_cast<T*>(reinterpret_cast<Word>(p) + kUserAlias);
}
#else
template <class T>
inline T* user_alias(T* p) {
  return p;
}
#endif

extern "C" void user_start();  // calls bx with argument, then int 0x81

// Runs f in ring 3 (captures by value only in the 64-bit kernel). A return
// from f is vector kUserExit. `flags` are EFLAGS at entry.
template <class F>
inline Trap user(F f, Word flags = 2) {
  static F copy_of = f;  // static: not on a stack that ring 3 cannot see
  copy(&copy_of, &f, sizeof f);
  void (*const thunk)(void*) = [](void* arg) { (*static_cast<F*>(arg))(); };
  extern Word user_call_target;
  return attempt([&] {
    u8* user_stack();
    user_call_target = reinterpret_cast<Word>(reinterpret_cast<void*>(thunk)) +
                       (k64Bit ? reinterpret_cast<Word>(user_alias(static_cast<u8*>(nullptr))) : 0);
    enter_user(reinterpret_cast<Word>(reinterpret_cast<void*>(user_start)) +
                   reinterpret_cast<Word>(user_alias(static_cast<u8*>(nullptr))),
               reinterpret_cast<Word>(user_alias(&copy_of)), reinterpret_cast<Word>(user_alias(user_stack())),
               flags);
  });
}

void trap_setup();  // on the boot CPU
void trap_setup_ap(unsigned cpu, u8* stack_top);
void use_boot_tables();   // reloads GDT and IDT as trap_setup left them
void trap_setup_again();  // tables and TSS afresh, for the next test
extern u64 gdt[256];
struct Gate {
#ifdef __x86_64__
  u64 low, high;
#else
  u64 low;
#endif
};
extern Gate idt[256];
void set_gate(Word vector, u16 selector, Word offset, u8 type_dpl, u8 ist = 0);  // type_dpl: access byte
Word stub_address(Word vector);

#ifdef __x86_64__
struct [[gnu::packed]] Tss {
  u32 r0;
  u64 rsp[3];
  u64 r1;
  u64 ist[7];
  u64 r2;
  u16 r3, iomap;
  u8 bitmap[8193];
};
#else
struct [[gnu::packed]] Tss {
  u32 link, esp0, ss0, esp1, ss1, esp2, ss2, cr3, eip, eflags, eax, ecx, edx, ebx, esp, ebp, esi, edi;
  u32 es, cs, ss, ds, fs, gs, ldt;
  u16 trap, iomap;
  u8 bitmap[8193];
};
#endif
extern Tss boot_tss;
extern bool swallow_interrupts;  // between tests: acknowledge what is pending and forget it
