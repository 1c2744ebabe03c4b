// Single step, hardware breakpoints, RF and interrupt shadows. SDM 3B 17.2,
// 17.3; 3A 6.8.3 (masking by MOV SS), 2B STI.
#include "test.h"

namespace {
struct Stop {
  Word vector, ip, dr6, flags;
};
Stop stops[32];
unsigned stop_count;
bool record(Frame& f) {
  const Word dr6 = read_dr6();
  if (stop_count < 32) stops[stop_count++] = {f.vector, f.ip, dr6, f.flags};
  write_dr6(0xffff0ff0);
  if (f.vector == kDB && !(dr6 & 0x4000)) f.flags |= kRf;  // an instruction breakpoint is a fault
  return true;
}
bool record_and_stop(Frame& f) {
  record(f);
  f.flags &= ~kTf;
  return true;
}
void start(TrapHandler handler = record) {
  stop_count = 0;
  on_trap(kDB, handler);
}
volatile u32 watched[4] __attribute__((aligned(16)));
constexpr Word kStep = 0x4000;
}  // namespace

TEST(tf_steps_each_instruction) {
  start();
  Word a, b;
  asm volatile(R"(
    lea 1f(%%rip),%0
    lea 2f(%%rip),%1
    pushfq
    orl $0x100,(%%rsp)
    popfq
 1: nop
    mov $1,%%ecx
    pushfq
    andl $~0x100,(%%rsp)
    popfq
 2: nop)"
               : "=&r"(a), "=&r"(b)
               :
               : "rcx", "memory", "cc");
  expect(stop_count, 5, "stops: after nop, mov, pushfq, and, popfq");
  expect(stops[0].ip, a + 1, "the first is after the instruction that follows POPF");
  expect(stops[4].ip, b, "the last is after the POPF that clears TF");
  expect(stops[0].dr6, 0xffff0ff0 | kStep, "DR6.BS");
}

TEST(tf_repeated_string_steps_each_iteration) {
  static u8 a[8], b[8];
  start();
  asm volatile(R"(
    pushfq
    orl $0x100,(%%rsp)
    popfq
    rep movsb
    pushfq
    andl $~0x100,(%%rsp)
    popfq)"
               :
               : "S"(a), "D"(b), "c"(4)
               : "memory", "cc");
  expect(stop_count, 7, "four iterations, pushfq, and, popfq");
  expect(stops[0].ip, stops[1].ip, "stays on the instruction");
}

TEST(tf_interrupt_instruction_clears_tf) {
  start();
  on_trap(0x90, [](Frame&) {
    asm volatile("nop; nop");
    return true;
  });
  asm volatile(R"(
    pushfq
    orl $0x100,(%%rsp)
    popfq
    int $0x90
    nop
    pushfq
    andl $~0x100,(%%rsp)
    popfq)" ::
                   : "memory", "cc");
  expect(stop_count, 4, "none in the handler; after nop, pushfq, and, popfq");
}

TEST(tf_in_ring_3) {
  start(record_and_stop);
  const Trap t = user([] { asm volatile("nop; nop"); }, 2 | kTf);
  expect_trap(t, kUserExit, "resumed");
  expect(stop_count, 1, "one stop after the first instruction");
}

TEST(tf_syscall_with_fmask) {
  // SYSCALL with TF set and masked by FMASK: no step in the handler.
  write_msr(kMsrStar, u64{0x08} << 32 | u64{0x18} << 48);
  write_msr(kMsrFmask, kTf);
  Word handler;
  asm volatile("lea 1f(%%rip),%0; jmp 2f; 1: sysretq; 2:" : "=r"(handler));
  write_msr(kMsrLstar, handler);
  start();
  const Trap t = user([] {
    asm volatile("pushfq; orl $0x100,(%%rsp); popfq; syscall; nop; pushfq; andl $~0x100,(%%rsp); popfq" ::
                     : "rcx", "r11", "memory", "cc");
  });
  expect_trap(t, kUserExit, "returned");
  for (unsigned i = 0; i < stop_count; ++i) expect_true(stops[i].ip >= kUserAlias, "every stop is in ring 3");
}

TEST(dr_execute_breakpoint) {
  start();
  Word at;
  asm volatile("lea 1f(%%rip),%0" : "=r"(at));
  write_dr0(at);
  write_dr7(0x402);
  asm volatile("nop; 1: nop; nop");
  asm volatile("lea 1b(%%rip),%0" : "=r"(at));
  write_dr7(0x400);
  expect(stop_count, 1, "one stop, then RF lets it pass");
  expect(stops[0].ip, at, "a fault: before the instruction");
  expect(stops[0].dr6 & 0xf00f, 1, "B0");
  expect(stops[0].flags & kRf, 0,
         "RF pushed as it was: setting it is the handler's business (SDM 3B 18.3.1.1)");
}

TEST(dr_data_write_breakpoint) {
  start();
  write_dr1(reinterpret_cast<Word>(&watched[1]));
  write_dr7(0x400 | 0x8 | 0x1 << 20 | 0x3 << 22);
  u32 v = watched[1];
  Word after;
  asm volatile("movl $5,%1; 1: lea 1b(%%rip),%0" : "=r"(after), "=m"(watched[1]));
  watched[2] = v;
  write_dr7(0x400);
  expect(stop_count, 1, "write only");
  expect(stops[0].ip, after, "a trap: after the store");
  expect(stops[0].dr6 & 0xf00f, 2, "B1");
}

TEST(dr_data_access_breakpoint) {
  start();
  write_dr2(reinterpret_cast<Word>(&watched[1]));
  write_dr7(0x400 | 0x20 | 0x3 << 24 | 0x3 << 26);
  (void)watched[1];
  watched[1] = 3;
  (void)watched[0];
  asm volatile("mov %0,%%al" ::"m"(*(reinterpret_cast<volatile u8*>(&watched[1]) + 3)) : "rax");
  asm volatile("mov 2(%0),%%rax" ::"r"(watched) : "rax");
  write_dr7(0x400);
  expect(stop_count, 4, "read, write, byte inside, overlapping qword");
  expect(stops[0].dr6 & 0xf00f, 4, "B2");
}

TEST(dr_length_2_and_8) {
  start();
  write_dr0(reinterpret_cast<Word>(watched) + 2);
  write_dr3(reinterpret_cast<Word>(watched) + 8);
  write_dr7(0x400 | 0x2 | 0x1 << 16 | 0x1 << 18 | 0x80 | 0x1 << 28 | 0x2u << 30);
  auto bytes = reinterpret_cast<volatile u8*>(watched);
  bytes[1] = 1;
  bytes[2] = 1;
  bytes[3] = 1;
  bytes[4] = 1;
  bytes[7] = 1;
  bytes[8] = 1;
  bytes[15] = 1;
  write_dr7(0x400);
  expect(stop_count, 4, "two and two");
  expect(stops[1].dr6 & 0xf, 1, "B0");
  expect(stops[3].dr6 & 0xf, 8, "B3");
}

TEST(dr_string_store_stops_after_the_iteration) {
  static u8 buffer[64] __attribute__((aligned(16)));
  start();
  write_dr0(reinterpret_cast<Word>(buffer) + 10);
  write_dr7(0x400 | 0x2 | 0x1 << 16);
  Word left = 32;
  void* d = buffer;
  asm volatile("rep stosb" : "+c"(left), "+D"(d) : "a"(1) : "memory");
  write_dr7(0x400);
  expect(stop_count, 1, "one stop");
  expect(buffer[31], 1, "finished");
}

TEST(dr_io_breakpoint) {
  start();
  write_cr4(read_cr4() | kCr4De);
  write_dr0(0x80);
  write_dr7(0x400 | 0x2 | 0x2 << 16);
  out8(0x80, 0);
  out8(0x84, 0);
  (void)in8(0x80);
  write_dr7(0x400);
  expect(stop_count, 2, "out and in");
  expect(stops[0].dr6 & 0xf, 1, "B0");
}

TEST(dr_general_detect) {
  const Trap t = attempt([] {
    write_dr7(0x400 | 0x2000);
    asm volatile("mov %%dr0,%%rax" ::: "rax");
  });
  expect_trap(t, kDB, 0, "GD");
  expect(read_dr6() & 0x2000, 0x2000, "BD");
  expect(read_dr7() & 0x2000, 0, "the handler runs with GD clear");
}

TEST(dr_registers_hold_and_mask) {
  write_dr0(0x123456789abcdef0);
  write_dr3(~Word{0});
  expect(read_dr0(), 0x123456789abcdef0, "DR0");
  expect(read_dr3(), ~Word{0}, "DR3 takes non-canonical");
  write_dr6(0);
  expect(read_dr6(), 0xffff0ff0, "DR6 fixed bits");
  write_dr7(0);
  expect(read_dr7(), 0x400, "DR7 bit 10");
}

TEST(shadow_mov_ss_delays_breakpoint) {
  // A data breakpoint on MOV SS is pended until after the next instruction.
  static u16 data = kSelData;
  start();
  write_dr0(reinterpret_cast<Word>(&data));
  write_dr7(0x400 | 0x2 | 0x3 << 16 | 0x1 << 18);
  Word next;
  asm volatile("mov %1,%%ss; nop; 1: nop; lea 1b(%%rip),%0" : "=r"(next) : "m"(data));
  write_dr7(0x400);
  expect(stop_count, 1, "one stop");
  expect(stops[0].ip, next, "after the instruction behind MOV SS");
}

TEST(shadow_mov_ss_delays_single_step) {
  start();
  Word b;
  const Word ss = kSelData;
  asm volatile(R"(
    lea 2f(%%rip),%0
    pushfq
    orl $0x100,(%%rsp)
    popfq
    mov %1,%%ss
    nop
 2: pushfq
    andl $~0x100,(%%rsp)
    popfq)"
               : "=&r"(b)
               : "r"(ss)
               : "memory", "cc");
  expect(stops[0].ip, b, "no stop between MOV SS and the next instruction");
}
