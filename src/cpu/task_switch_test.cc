#include "cpu/test_machine.h"

namespace rhea::cpu::test {
namespace {

class TaskTest : public CpuTest {
 protected:
  void SetUp() override {
    protected_mode();
    fill_other();
  }

  void fill_other() {
    poke(kOtherTss + 28, uint32_t{0});
    poke(kOtherTss + 32, uint32_t{0x7000});
    poke(kOtherTss + 36, uint32_t{2});
    for (unsigned i = 0; i < 8; i++) poke(kOtherTss + 40 + i * 4, 0x1000u + i);
    const uint16_t segs[] = {kData0, kCode0, kData0, kData3, 0, kConforming};
    for (unsigned i = 0; i < 6; i++) poke(kOtherTss + 72 + i * 4, segs[i]);
    poke(kOtherTss + 96, uint32_t{0});
    poke(kOtherTss + 100, uint32_t{0});
  }
  uint64_t type(uint16_t selector) { return peek(kGdt + selector + 5, 1) & 15; }
  bool switch_to(TaskSwitchReason reason) {
    return task_switch(c(), kOtherTssSel, reason, kCode + 7, false, 0);
  }
};

TEST_F(TaskTest, jmp_moves_the_busy_bit_and_all_registers) {
  poke(kGdt + kTssSel + 5, uint8_t{0x8b});
  s().gpr[RAX] = 0xaaaa5555;
  ASSERT_TRUE(jmp_far(c(), kOtherTssSel, 0, 4, kCode + 7));
  EXPECT_EQ(type(kTssSel), 9u);
  EXPECT_EQ(type(kOtherTssSel), 11u);
  EXPECT_EQ(s().seg[TR].selector, kOtherTssSel);
  EXPECT_EQ(s().rip, 0x7000u);
  for (unsigned i = 0; i < 8; i++) EXPECT_EQ(s().gpr[i], 0x1000u + i);
  EXPECT_EQ(s().seg[DS].selector, kData3);
  EXPECT_FALSE(s().seg[FS].usable());
  EXPECT_EQ(s().cr0 & cr0::TS, cr0::TS);
  EXPECT_EQ(peek(kTss + 32, 4), kCode + 7);
  EXPECT_EQ(peek(kTss + 40, 4), 0xaaaa5555u);
  EXPECT_EQ(peek(kTss + 76, 2), kCode0);
  EXPECT_EQ(s().rflags() & rflags::NT, 0u);
}

TEST_F(TaskTest, call_nests_and_iret_returns) {
  poke(kGdt + kTssSel + 5, uint8_t{0x8b});
  ASSERT_TRUE(call_far(c(), kOtherTssSel, 0, 4, kCode + 7));
  EXPECT_EQ(type(kTssSel), 11u);
  EXPECT_EQ(peek(kOtherTss, 2), kTssSel);
  EXPECT_EQ(s().rflags() & rflags::NT, rflags::NT);
  s().nmi_blocked = 1;
  ASSERT_TRUE(iret(c(), 4, 0x7001));
  EXPECT_EQ(s().seg[TR].selector, kTssSel);
  EXPECT_EQ(s().rip, kCode + 7);
  EXPECT_EQ(type(kOtherTssSel), 9u);
  EXPECT_EQ(peek(kOtherTss + 36, 4) & rflags::NT, 0u);
  EXPECT_EQ(peek(kOtherTss + 32, 4), 0x7001u);
  EXPECT_EQ(s().nmi_blocked, 0);
}

TEST_F(TaskTest, faults_before_the_switch_change_nothing) {
  struct Case {
    const char* what;
    uint64_t descriptor;
    TaskSwitchReason reason;
    uint8_t vector;
  };
  for (const Case& t : {Case{"busy", descriptor(kOtherTss, 103, 0x8b), TaskSwitchReason::Jmp, vec::GP},
                        Case{"absent", descriptor(kOtherTss, 103, 0x09), TaskSwitchReason::Call, vec::NP},
                        Case{"limit", descriptor(kOtherTss, 102, 0x89), TaskSwitchReason::Jmp, vec::TS},
                        Case{"no tss", descriptor(kOtherTss, 103, 0x82), TaskSwitchReason::Gate, vec::GP},
                        Case{"return to one that is not busy", descriptor(kOtherTss, 103, 0x89),
                             TaskSwitchReason::Iret, vec::TS}}) {
    set_gdt(kOtherTssSel, t.descriptor);
    EXPECT_TRUE(faulted(switch_to(t.reason), t.vector, kOtherTssSel)) << t.what;
    EXPECT_EQ(s().seg[TR].selector, kTssSel);
    EXPECT_EQ(s().rip, kCode);
  }
}

TEST_F(TaskTest, faults_after_the_switch_belong_to_the_new_task) {
  struct Case {
    const char* what;
    unsigned offset;
    uint16_t selector;
    uint8_t vector;
    uint16_t code;
  };
  for (const Case& t :
       {Case{"cs null", 76, 0, vec::TS, 0}, Case{"cs data", 76, kData0, vec::TS, kData0},
        Case{"cs absent", 76, kCodeAbsent, vec::NP, kCodeAbsent}, Case{"ss null", 80, 0, vec::TS, 0},
        Case{"ss dpl", 80, kData3, vec::TS, kData3 & 0xfffc},
        Case{"ss absent", 80, kDataAbsent, vec::SS, kDataAbsent},
        Case{"ds execute only", 84, kExecOnly, vec::TS, kExecOnly},
        Case{"es absent", 72, kDataAbsent, vec::NP, kDataAbsent}, Case{"ldt", 96, kData0, vec::TS, kData0}}) {
    protected_mode();
    fill_other();
    set_gdt(kOtherTssSel, descriptor(kOtherTss, 103, 0x89));
    poke(kOtherTss + t.offset, t.selector);
    EXPECT_TRUE(faulted(switch_to(TaskSwitchReason::Jmp), t.vector, t.code)) << t.what;
    EXPECT_EQ(s().seg[TR].selector, kOtherTssSel) << t.what;
    EXPECT_EQ(s().rip, 0x7000u) << t.what;
  }
}

TEST_F(TaskTest, debug_trap_flag_raises_db_with_bt) {
  poke(kOtherTss + 100, uint16_t{1});
  EXPECT_TRUE(faulted(switch_to(TaskSwitchReason::Jmp), vec::DB));
  EXPECT_EQ(c().fault.dr6, 0x8000u);
}

TEST_F(TaskTest, gate_in_the_idt_pushes_the_error_code) {
  set_idt(vec::DF, gate(kOtherTssSel, 0, 5, 0));
  poke(kOtherTss + 56, uint32_t{kStack3});
  ASSERT_TRUE(deliver(
      c(),
      {.kind = EventKind::Exception, .vector = vec::DF, .has_code = true, .code = 0, .return_rip = kCode}));
  EXPECT_EQ(s().rip, 0x7000u);
  EXPECT_EQ(s().gpr[RSP], kStack3 - 4);
  EXPECT_EQ(peek(kTss + 32, 4), kCode);
}

TEST_F(TaskTest, sixteen_bit_tss) {
  set_gdt(kOtherTssSel, descriptor(kOtherTss, 43, 0x81));
  poke(kOtherTss + 14, uint16_t{0x7000});
  poke(kOtherTss + 16, uint16_t{2});
  for (unsigned i = 0; i < 8; i++) poke(kOtherTss + 18 + i * 2, static_cast<uint16_t>(i));
  const uint16_t segs[] = {kData0, kCode0, kData0, kData0};
  for (unsigned i = 0; i < 4; i++) poke(kOtherTss + 34 + i * 2, segs[i]);
  poke(kOtherTss + 42, uint16_t{0});
  ASSERT_TRUE(switch_to(TaskSwitchReason::Jmp));
  EXPECT_EQ(s().rip, 0x7000u);
  EXPECT_EQ(s().gpr[RBX] & 0xffff, 3u);
  EXPECT_FALSE(s().seg[GS].usable());
  EXPECT_EQ(s().seg[TR].attr & 15, 3u);
}

}  // namespace
}  // namespace rhea::cpu::test
