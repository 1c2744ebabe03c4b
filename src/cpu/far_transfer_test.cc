#include <initializer_list>

#include "cpu/test_machine.h"

namespace rhea::cpu::test {
namespace {

class FarTest : public CpuTest {
 protected:
  bool jump(uint16_t selector, uint64_t offset = 0x5000, unsigned size = 4) {
    return jmp_far(c(), selector, offset, size, kCode + 7);
  }
  bool call(uint16_t selector, uint64_t offset = 0x5000, unsigned size = 4) {
    return call_far(c(), selector, offset, size, kCode + 7);
  }
  void call_gate(uint16_t target, unsigned dpl, bool present = true, unsigned type = 12, unsigned count = 0) {
    set_gdt(kFree, gate(target, 0x12345, type, dpl, present, count));
    set_gdt(kFree + 8, 0);
  }
};

TEST_F(FarTest, real_mode) {
  real();
  ASSERT_TRUE(call_far(c(), 0x1234, 0x5678, 2, 0x105));
  EXPECT_EQ(s().seg[CS].base, 0x12340u);
  EXPECT_EQ(s().rip, 0x5678u);
  EXPECT_EQ(peek(0x7ffc, 4), 0x105u);
  ASSERT_TRUE(ret_far(c(), 2, 6));
  EXPECT_EQ(s().seg[CS].selector, 0);
  EXPECT_EQ(s().rip, 0x105u);
  EXPECT_EQ(s().gpr[RSP], 0x8006u);
  EXPECT_TRUE(faulted(jmp_far(c(), 0, 0x10000, 4, 0), vec::GP, 0));
  ASSERT_TRUE(jmp_far(c(), 0xf000, 0x1fff0, 2, 0));
  EXPECT_EQ(s().rip, 0xfff0u);
}

TEST_F(FarTest, entering_protected_code_from_real_mode) {
  protected_mode();
  real();
  s().cr0 |= cr0::PE;
  ASSERT_TRUE(jmp_far(c(), kCode0, 0x100000, 4, 0));
  EXPECT_EQ(s().seg[CS].limit, ~0u);
  EXPECT_EQ(s().seg[CS].attr & attr::kBig, attr::kBig);
  EXPECT_EQ(s().cpl, 0);
  EXPECT_EQ(told_, 1u);
}

TEST_F(FarTest, direct_code_checks) {
  struct Case {
    const char* what;
    unsigned cpl;
    uint16_t selector;
    int vector;
    uint16_t code;
  };
  for (const Case& t :
       {Case{"same ring", 0, kCode0, -1, 0}, Case{"rpl is ignored below cpl", 3, kCode3 & 0xfffc, -1, 0},
        Case{"conforming inner", 3, kConforming, -1, 0}, Case{"null", 0, 2, vec::GP, 0},
        Case{"outside", 0, 0x1000, vec::GP, 0x1000}, Case{"data", 0, kData0, vec::GP, kData0},
        Case{"inner", 3, kCode0, vec::GP, kCode0}, Case{"outer", 0, kCode3, vec::GP, kCode3 & 0xfffc},
        Case{"rpl above cpl", 0, kCode0 | 1, vec::GP, kCode0},
        Case{"absent", 0, kCodeAbsent, vec::NP, kCodeAbsent}, Case{"ldt", 0, kLdtSel, vec::GP, kLdtSel}}) {
    for (bool is_call : {false, true}) {
      protected_mode(t.cpl);
      uint64_t sp = s().gpr[RSP];
      bool ok = is_call ? call(t.selector) : jump(t.selector);
      if (t.vector < 0) {
        EXPECT_TRUE(ok) << t.what;
        EXPECT_EQ(s().seg[CS].selector, (t.selector & 0xfffc) | t.cpl) << t.what;
        EXPECT_EQ(s().gpr[RSP], is_call ? sp - 8 : sp);
      } else {
        EXPECT_TRUE(faulted(ok, static_cast<uint8_t>(t.vector), t.code)) << t.what;
        EXPECT_EQ(s().gpr[RSP], sp);
      }
    }
  }
}

TEST_F(FarTest, offset_and_stack_limits) {
  protected_mode();
  EXPECT_TRUE(faulted(jump(kCode16, 0x10000), vec::GP, 0));
  s().seg[SS].limit = 0x1000;
  EXPECT_TRUE(faulted(call(kCode16, 0x10000), vec::SS, 0));  // the stack is looked at first
}

TEST_F(FarTest, call_gate_checks) {
  struct Case {
    const char* what;
    unsigned cpl, dpl;
    bool present;
    uint16_t target;
    uint16_t rpl;
    uint8_t vector;
    uint16_t code;
  };
  for (const Case& t :
       {Case{"dpl below cpl", 3, 0, true, kCode0, 0, vec::GP, kFree},
        Case{"dpl below rpl", 0, 0, true, kCode0, 1, vec::GP, kFree},
        Case{"absent", 0, 3, false, kCode0, 0, vec::NP, kFree}, Case{"null", 0, 3, true, 0, 0, vec::GP, 0},
        Case{"outside", 0, 3, true, 0x1000, 0, vec::GP, 0x1000},
        Case{"data", 0, 3, true, kData0, 0, vec::GP, kData0},
        Case{"outer", 0, 3, true, kCode3, 0, vec::GP, kCode3 & 0xfffc},
        Case{"code absent", 0, 3, true, kCodeAbsent, 0, vec::NP, kCodeAbsent}}) {
    for (bool is_call : {false, true}) {
      protected_mode(t.cpl);
      call_gate(t.target, t.dpl, t.present);
      uint16_t selector = kFree | t.rpl;
      EXPECT_TRUE(faulted(is_call ? call(selector) : jump(selector), t.vector, t.code)) << t.what;
    }
  }
  protected_mode(3);
  call_gate(kCode0, 3);
  EXPECT_TRUE(faulted(jump(kFree), vec::GP, kCode0));  // JMP never changes the ring
}

TEST_F(FarTest, call_gate_to_same_ring) {
  protected_mode();
  call_gate(kCode0, 0, true, 4);
  ASSERT_TRUE(call(kFree));
  EXPECT_EQ(s().rip, 0x2345u);
  EXPECT_EQ(s().gpr[RSP], kStack0 - 4);  // a 16-bit gate's frame
  EXPECT_EQ(peek(kStack0 - 4, 4), (kCode0 << 16) + ((kCode + 7) & 0xffff));
}

TEST_F(FarTest, call_gate_to_inner_ring_copies_parameters_and_ret_releases_them) {
  protected_mode(3);
  call_gate(kCode0, 3, true, 12, 2);
  s().gpr[RSP] = kStack3 - 8;
  poke(kStack3 - 8, uint32_t{0x11});
  poke(kStack3 - 4, uint32_t{0x22});
  ASSERT_TRUE(call(kFree | 3));
  EXPECT_EQ(s().cpl, 0);
  EXPECT_EQ(s().seg[CS].selector, kCode0);
  EXPECT_EQ(s().rip, 0x12345u);
  EXPECT_EQ(s().gpr[RSP], kStack0 - 24);
  const uint64_t expected[] = {kCode + 7, kCode3, 0x11, 0x22, kStack3 - 8, kData3};
  for (unsigned i = 0; i < 6; i++) EXPECT_EQ(peek(kStack0 - 24 + i * 4, 4), expected[i]) << i;
  ASSERT_TRUE(ret_far(c(), 4, 8));
  EXPECT_EQ(s().cpl, 3);
  EXPECT_EQ(s().gpr[RSP], kStack3);
  EXPECT_EQ(s().rip, kCode + 7);
  EXPECT_EQ(s().seg[SS].selector, kData3);
}

TEST_F(FarTest, ret_checks) {
  struct Case {
    uint16_t cs, ss;
    uint8_t vector;
    uint16_t code;
  };
  for (const Case& t : {Case{0, kData3, vec::GP, 0}, Case{kData0, kData3, vec::GP, kData0},
                        Case{kCodeAbsent, 0, vec::NP, kCodeAbsent}, Case{kCode3, 0, vec::GP, 0},
                        Case{kCode3, kData0, vec::GP, kData0}}) {
    protected_mode();
    s().gpr[RSP] -= 16;
    poke(s().gpr[RSP], uint32_t{0x5000});
    poke(s().gpr[RSP] + 4, uint32_t{t.cs});
    poke(s().gpr[RSP] + 8, uint32_t{kStack3});
    poke(s().gpr[RSP] + 12, uint32_t{t.ss});
    EXPECT_TRUE(faulted(ret_far(c(), 4, 0), t.vector, t.code)) << t.cs;
  }
}

TEST_F(FarTest, long_mode) {
  long_mode(3);
  call_gate(kCode64, 3);
  poke(kGdt + kFree + 8, uint64_t{0xffff8000});
  ASSERT_TRUE(call(kFree | 3, 0, 4));
  EXPECT_EQ(s().rip, 0xffff800000012345u);
  EXPECT_EQ(s().cpl, 0);
  EXPECT_EQ(s().seg[SS].selector, 0);
  EXPECT_EQ(s().gpr[RSP], kStack0 - 32);
  const uint64_t expected[] = {kCode + 7, kCode64User, kStack3, kData3};
  for (unsigned i = 0; i < 4; i++) EXPECT_EQ(peek(kStack0 - 32 + i * 8, 8), expected[i]) << i;
  ASSERT_TRUE(ret_far(c(), 8, 0));
  EXPECT_EQ(s().cpl, 3);
  EXPECT_EQ(s().gpr[RSP], kStack3);

  long_mode();
  call_gate(kCode0, 3);
  EXPECT_TRUE(faulted(call(kFree), vec::GP, kCode0));  // a gate leads to 64-bit code only
  EXPECT_TRUE(faulted(jump(kTssSel), vec::GP, kTssSel));
  ASSERT_TRUE(jump(kCode0));
  EXPECT_FALSE(s().code64());
  ASSERT_TRUE(jump(kCode64));
  EXPECT_TRUE(s().code64());
}

}  // namespace
}  // namespace rhea::cpu::test
