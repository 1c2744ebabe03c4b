// Real mode: addressing, limits, wraps, the IVT, unreal mode. SDM 3A 20.1.
#include "test.h"

extern "C" {
void real_enter(unsigned entry);
extern u8 real_blob[], real_blob_end[], real_vectors[];
}
#define CODE(name) extern "C" u8 name[], name##_end[]
CODE(r_arith);
CODE(r_segments);
CODE(r_limit);
CODE(r_limit32);
CODE(r_stack_limit);
CODE(r_push_wrap);
CODE(r_int);
CODE(r_divide);
CODE(r_ud);
CODE(r_ud_protected);
CODE(r_bound);
CODE(r_ip_wrap);
CODE(r_ip_limit);
CODE(r_string_wrap);
CODE(r_string_limit);
CODE(r_unreal);
CODE(r_a20);
CODE(r_enter);
CODE(r_far);
CODE(r_step);
CODE(r_smsw);
CODE(r_hlt_self_modify);

namespace {
volatile u16* const result16 = reinterpret_cast<volatile u16*>(0x6800);
volatile u32* const result32 = reinterpret_cast<volatile u32*>(0x6800);
volatile u8* const result8 = reinterpret_cast<volatile u8*>(0x6800);
struct Outcome {
  u16 vector, ip, cs, flags, cx, si, di;
};

Outcome run(const u8* code, const u8* end) {
  volatile Outcome* out = reinterpret_cast<volatile Outcome*>(0x67f0);
  copy(reinterpret_cast<void*>(0x6000), real_blob, static_cast<Word>(real_blob_end - real_blob));
  copy(reinterpret_cast<void*>(0x7000), code, static_cast<Word>(end - code));
  memset(reinterpret_cast<void*>(0x6800), 0, 0x400);
  volatile u32* ivt = reinterpret_cast<volatile u32*>(0x6400);
  for (u32 v = 0; v < 64; ++v) ivt[v] = 0x6000 + static_cast<u32>(real_vectors - real_blob) + 8 * v;
  out->vector = 0xffff;
  real_enter(0x7000);
  use_boot_tables();
  return {out->vector, out->ip, out->cs, out->flags, out->cx, out->si, out->di};
}
#define RUN(name) run(name, name##_end)
void expect_vector(const Outcome& o, Word vector, u16 ip, const char* what) {
  if (expect(o.vector, vector, what)) expect(o.ip, ip, "ip");
}
}  // namespace

TEST(real_operand_and_address_sizes) {
  expect(RUN(r_arith).vector, 0xffff, "no exception");
  expect(result16[0], 0, "inc wraps at 16 bits");
  expect(result32[1], 0x23456789, "32-bit operand");
  expect(result32[2], 0xcafe, "32-bit address");
  expect(result16[8], 0x55aa, "bx + si");
}
TEST(real_segments) {
  RUN(r_segments);
  expect(result16[0], 0x1234, "es");
  expect(result16[1], 0x5678, "fs");
  expect(result16[4], 0x9abc, "ss by bp");
}
TEST(real_limit_gp) {
  expect_vector(RUN(r_limit), 13, 0x7003, "word at ffff");
}
TEST(real_limit_gp_32_bit_address) {
  expect_vector(RUN(r_limit32), 13, 0x7006, "byte at 10000");
}
TEST(real_stack_limit_ss) {
  expect(RUN(r_stack_limit).vector, 12, "pop at ffff");
}
TEST(real_push_wraps) {
  RUN(r_push_wrap);
  expect(result16[0], 0xfffe, "sp");
  expect(result16[1], 0x4711, "at ss:fffe");
}
TEST(real_int_and_iret) {
  RUN(r_int);
  expect(result16[0] & (kIf | kTf), 0, "IF cleared in the handler");
  expect(result16[1] & (kIf | kCf), kIf | kCf, "flags pushed");
  expect(result16[2] & (kIf | kCf), kIf | kCf, "flags restored");
}
TEST(real_divide_error) {
  expect_vector(RUN(r_divide), 0, 0x7002, "#DE");
}
TEST(real_invalid_opcode) {
  expect_vector(RUN(r_ud), 6, 0x7000, "ud2");
}
TEST(real_protected_mode_instructions_are_ud) {
  expect_vector(RUN(r_ud_protected), 6, 0x7000, "str");
}
TEST(real_bound) {
  expect_vector(RUN(r_bound), 5, 0x7003, "bound");
}
TEST(real_ip_wraps_with_16_bit_operand) {
  expect(RUN(r_ip_wrap).vector, 0xffff, "no exception");
  expect(result16[0], 0x77, "arrived");
}
TEST(real_ip_beyond_the_limit) {
  expect(RUN(r_ip_limit).vector, 13, "#GP");
}
TEST(real_string_wraps) {
  expect(RUN(r_string_wrap).vector, 0xffff, "no exception");
  expect(result16[0], 2, "di");
  expect(result8[2], 0x5a, "es:ffff");
  expect(result8[3], 0x5a, "es:1");
}
TEST(real_string_element_across_the_limit) {
  const Outcome o = RUN(r_string_limit);
  expect(o.vector, 13, "#GP");
  expect(o.di, 0xffff, "one element done");
  expect(o.cx, 3, "cx");
}
TEST(real_unreal) {
  expect(RUN(r_unreal).vector, 0xffff, "no exception");
  expect(result32[0], 0x600df00d, "4 GiB limit in real mode");
}
TEST(real_a20_open) {
  volatile u32* at = reinterpret_cast<volatile u32*>(0x100000);
  RUN(r_a20);
  expect(result32[0], *at, "ffff:10 is 1 MiB");
}
TEST(real_enter_leave_loop) {
  expect(RUN(r_enter).vector, 0xffff, "no exception");
  expect(result16[0], 8, "enter");
  expect(result16[1], 0x1111, "leave");
  expect(result16[2], 3, "loop uses cx");
  expect(result32[2], 0x70000, "the high half of ecx stays");
  expect(result16[6], 0, "jcxz");
}
TEST(real_far_calls) {
  expect(RUN(r_far).vector, 0xffff, "no exception");
  expect(result16[0], 2, "16-bit");
  expect(result16[1], 1, "32-bit");
}
TEST(real_single_step) {
  const Outcome o = RUN(r_step);
  expect(o.vector, 1, "#DB");
  expect(o.flags & kTf, kTf, "TF pushed");
}
TEST(real_smsw) {
  RUN(r_smsw);
  expect(result16[0] & 1, 0, "PE clear");
  expect(result16[0], result16[1], "CR0's low half");
}
TEST(real_self_modifying) {
  RUN(r_hlt_self_modify);
  expect(result8[0], 0x99, "patched");
}
