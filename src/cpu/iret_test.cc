#include <initializer_list>

#include "cpu/test_machine.h"

namespace rhea::cpu::test {
namespace {

using namespace rflags;

class IretTest : public CpuTest {
 protected:
  // Puts a frame, lowest address first, below the current stack pointer.
  void frame(unsigned size, std::initializer_list<uint64_t> values) {
    s().gpr[RSP] -= values.size() * size;
    uint64_t at = s().seg[SS].base + s().gpr[RSP];
    for (uint64_t v : values) {
      if (size == 2) poke(at, static_cast<uint16_t>(v));
      if (size == 4) poke(at, static_cast<uint32_t>(v));
      if (size == 8) poke(at, v);
      at += size;
    }
  }
};

TEST_F(IretTest, real_mode_restores_flags_and_unblocks_nmi) {
  real();
  s().nmi_blocked = 1;
  frame(2, {0x1234, 0x2000, IF | TF | CF | IOPL});
  ASSERT_TRUE(iret(c(), 2, kCode + 1));
  EXPECT_EQ(s().rip, 0x1234u);
  EXPECT_EQ(s().seg[CS].base, 0x20000u);
  EXPECT_EQ(s().rflags(), IF | TF | CF | IOPL | Fixed1);
  EXPECT_EQ(s().gpr[RSP], 0x8000u);
  EXPECT_EQ(s().nmi_blocked, 0);
  frame(4, {0x10000, 0x2000, 0});
  EXPECT_TRUE(faulted(iret(c(), 4, kCode + 1), vec::GP, 0));
}

TEST_F(IretTest, same_ring_32) {
  protected_mode();
  frame(4, {0x5000, kCode0, IF | IOPL | AC | RF | VIF | 2});
  ASSERT_TRUE(iret(c(), 4, kCode + 1));
  EXPECT_EQ(s().rip, 0x5000u);
  EXPECT_EQ(s().gpr[RSP], kStack0);
  EXPECT_EQ(s().rflags(), IF | IOPL | AC | RF | VIF | 2);
}

TEST_F(IretTest, outer_ring_loads_the_stack_and_drops_inner_segments) {
  protected_mode();
  frame(4, {0x5000, kCode3, IF, kStack3, kData3});
  set_gdt(kFree, descriptor(0, 0xffff, 0x80 | attr::kS | attr::kCode | attr::kReadable | attr::kConforming));
  ASSERT_TRUE(load_segment(c(), FS, kFree));
  ASSERT_TRUE(load_segment(c(), GS, kData3));
  ASSERT_TRUE(iret(c(), 4, kCode + 1));
  EXPECT_EQ(s().cpl, 3);
  EXPECT_EQ(s().seg[SS].selector, kData3);
  EXPECT_EQ(s().gpr[RSP], kStack3);
  EXPECT_FALSE(s().seg[DS].usable());
  EXPECT_EQ(s().seg[DS].selector, 0);
  EXPECT_TRUE(s().seg[FS].usable());
  EXPECT_TRUE(s().seg[GS].usable());
}

TEST_F(IretTest, ring_3_changes_neither_iopl_nor_if) {
  protected_mode(3);
  frame(4, {0x5000, kCode3, IF | IOPL | VIP | VM | DF});
  ASSERT_TRUE(iret(c(), 4, kCode + 1));
  EXPECT_EQ(s().rflags(), DF | Fixed1);
  s().system_flags = IOPL;
  frame(4, {0x5000, kCode3, IF});
  ASSERT_TRUE(iret(c(), 4, kCode + 1));
  EXPECT_EQ(s().rflags(), IF | IOPL | Fixed1);
}

TEST_F(IretTest, bad_code_segments) {
  struct Case {
    const char* what;
    uint16_t cs;
    uint8_t vector;
    uint16_t code;
  };
  for (const Case& t :
       {Case{"null", 0, vec::GP, 0}, Case{"outside", 0x1000, vec::GP, 0x1000},
        Case{"data", kData0, vec::GP, kData0}, Case{"rpl above dpl", kCode0 | 3, vec::GP, kCode0},
        Case{"absent", kCodeAbsent, vec::NP, kCodeAbsent}}) {
    protected_mode();
    frame(4, {0x5000, t.cs, 0, kStack3, kData3});
    EXPECT_TRUE(faulted(iret(c(), 4, kCode + 1), t.vector, t.code)) << t.what;
    EXPECT_EQ(s().gpr[RSP], kStack0 - 20);
  }
  protected_mode(3);
  frame(4, {0x5000, kCode0, 0});
  EXPECT_TRUE(faulted(iret(c(), 4, kCode + 1), vec::GP, kCode0));  // inwards
}

TEST_F(IretTest, bad_outer_stacks) {
  struct Case {
    const char* what;
    uint16_t ss;
    uint8_t vector;
    uint16_t code;
  };
  for (const Case& t :
       {Case{"null", 3, vec::GP, 0}, Case{"outside", 0x1003, vec::GP, 0x1000},
        Case{"rpl", kData3 & 0xfffc, vec::GP, kData3 & 0xfffc}, Case{"dpl", kData0 | 3, vec::GP, kData0},
        Case{"code", kCode3, vec::GP, kCode3 & 0xfffc}}) {
    protected_mode();
    frame(4, {0x5000, kCode3, 0, kStack3, t.ss});
    EXPECT_TRUE(faulted(iret(c(), 4, kCode + 1), t.vector, t.code)) << t.what;
  }
  protected_mode();
  set_gdt(kFree, descriptor(0, 0xffff, attr::kS | attr::kWritable | 3 << 5));
  frame(4, {0x5000, kCode3, 0, kStack3, kFree | 3});
  EXPECT_TRUE(faulted(iret(c(), 4, kCode + 1), vec::SS, kFree));
}

TEST_F(IretTest, offset_outside_the_segment_is_gp_0) {
  protected_mode();
  frame(4, {0x10000, kCode16, 0});
  EXPECT_TRUE(faulted(iret(c(), 4, kCode + 1), vec::GP, 0));
}

TEST_F(IretTest, to_vm86_and_back_flags) {
  protected_mode();
  frame(4, {0x100, 0x1000, VM | IF | IOPL, 0x1000, 0x800, 0x700, 0x600, 0x500, 0x400});
  ASSERT_TRUE(iret(c(), 4, kCode + 1));
  EXPECT_TRUE(s().vm86());
  EXPECT_EQ(s().cpl, 3);
  const uint16_t expected[] = {0x700, 0x1000, 0x800, 0x600, 0x500, 0x400};
  for (unsigned i = 0; i < 6; i++) {
    EXPECT_EQ(s().seg[i].selector, expected[i]);
    EXPECT_EQ(s().seg[i].base, expected[i] * 16u);
    EXPECT_EQ(s().seg[i].limit, 0xffffu);
    EXPECT_EQ(s().seg[i].attr, 0xf3u);
  }
}

TEST_F(IretTest, inside_vm86) {
  vm86(3);
  frame(2, {0x200, 0x3000, IF | CF});
  ASSERT_TRUE(iret(c(), 2, kCode + 1));
  EXPECT_EQ(s().seg[CS].base, 0x30000u);
  EXPECT_EQ(s().rflags(), VM | IOPL | IF | CF | Fixed1);

  vm86(0);
  EXPECT_TRUE(faulted(iret(c(), 2, kCode + 1), vec::GP, 0));
  s().cr4 = cr4::VME;
  frame(2, {0x200, 0x3000, IF | CF});
  ASSERT_TRUE(iret(c(), 2, kCode + 1));
  EXPECT_EQ(s().rflags(), VM | VIF | CF | Fixed1);
  frame(2, {0x200, 0x3000, TF});
  EXPECT_TRUE(faulted(iret(c(), 2, kCode + 1), vec::GP, 0));
  s().system_flags |= VIP;
  frame(2, {0x200, 0x3000, IF});
  EXPECT_TRUE(faulted(iret(c(), 2, kCode + 1), vec::GP, 0));
}

TEST_F(IretTest, long_mode_to_user_and_same_ring) {
  long_mode();
  frame(8, {0x7fff00001000, kCode64User, IF | TF, 0x7fff00002000, kData3});
  ASSERT_TRUE(iret(c(), 8, kCode + 1));
  EXPECT_EQ(s().cpl, 3);
  EXPECT_EQ(s().rip, 0x7fff00001000u);
  EXPECT_EQ(s().gpr[RSP], 0x7fff00002000u);
  EXPECT_EQ(s().rflags(), IF | TF | Fixed1);
  EXPECT_FALSE(s().seg[DS].usable());

  long_mode();
  s().seg[FS] = {.base = 0x7fff00003000, .limit = 0, .attr = attr::kUnusable, .selector = 3, .pad = {}};
  frame(8, {kCode, kCode64User, 2, kStack3, kData3});
  ASSERT_TRUE(iret(c(), 8, kCode + 2));
  EXPECT_EQ(s().seg[FS].selector, 0);
  EXPECT_EQ(s().seg[FS].base, 0x7fff00003000u);

  long_mode();
  frame(8, {kCode, kCode64, 2, 0x1230, 0});
  ASSERT_TRUE(iret(c(), 8, kCode + 1));
  EXPECT_EQ(s().gpr[RSP], 0x1230u);
  EXPECT_FALSE(s().seg[SS].usable());
}

TEST_F(IretTest, long_mode_to_compatibility_mode) {
  long_mode();
  frame(8, {0x5000, kCode3, IF, kStack3, kData3});
  ASSERT_TRUE(iret(c(), 8, kCode + 1));
  EXPECT_FALSE(s().code64());
  EXPECT_EQ(s().gpr[RSP], kStack3);
  EXPECT_EQ(s().seg[SS].limit, ~0u);
}

TEST_F(IretTest, long_mode_faults) {
  long_mode();
  frame(8, {0x800000000000, kCode64User, 0, kStack3, kData3});
  EXPECT_TRUE(faulted(iret(c(), 8, kCode + 1), vec::GP, 0));
  long_mode();
  frame(8, {kCode, kCode64User, 0, kStack3, 3});
  EXPECT_TRUE(faulted(iret(c(), 8, kCode + 1), vec::GP, 0));  // null SS in ring 3
  long_mode();
  frame(8, {kCode, kCode3, 0, kStack3, 0});
  EXPECT_TRUE(faulted(iret(c(), 8, kCode + 1), vec::GP, 0));
  long_mode();
  s().system_flags = NT;
  EXPECT_TRUE(faulted(iret(c(), 8, kCode + 1), vec::GP, 0));
  long_mode();
  set_gdt(kFree,
          descriptor(0, ~0u, 0x80 | attr::kS | attr::kCode | attr::kLong | attr::kBig | attr::kGranular));
  frame(8, {kCode, kFree, 0, kStack0, kData0});
  EXPECT_TRUE(faulted(iret(c(), 8, kCode + 1), vec::GP, kFree));  // L and D
  long_mode();
  s().gpr[RSP] = 0x7ffffffffff0;
  EXPECT_TRUE(faulted(iret(c(), 8, kCode + 1), vec::SS, 0));
}

TEST_F(IretTest, stack_limit_is_ss_0) {
  protected_mode();
  s().seg[SS].limit = static_cast<uint32_t>(kStack0 - 2);
  frame(4, {kCode, kCode0, 0});
  EXPECT_TRUE(faulted(iret(c(), 4, kCode + 1), vec::SS, 0));
}

}  // namespace
}  // namespace rhea::cpu::test
