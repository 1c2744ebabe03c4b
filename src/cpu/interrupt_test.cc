#include "cpu/test_machine.h"

namespace rhea::cpu::test {
namespace {

Event external(uint8_t vector, uint64_t rip = kCode) {
  return {.kind = EventKind::External, .vector = vector, .has_code = false, .code = 0, .return_rip = rip};
}
Event exception(uint8_t vector, uint64_t rip = kCode) {
  return {.kind = EventKind::Exception, .vector = vector, .has_code = false, .code = 0, .return_rip = rip};
}
Event software(uint8_t vector, uint64_t rip = kCode + 2) {
  return {.kind = EventKind::SoftwareInt, .vector = vector, .has_code = false, .code = 0, .return_rip = rip};
}

class InterruptTest : public CpuTest {
 protected:
  // Delivers an event whose first handler cannot be entered and returns the vector and code that arrive
  // instead: the handlers are told apart by their offsets, the code is on top of the stack.
  struct Arrived {
    uint64_t vector, code;
    bool operator==(const Arrived&) const = default;
  };
  void number_handlers() {
    for (unsigned v = 0; v < 32; v++) set_idt(v, gate(kCode0, kHandler + v * 16, 14, 3));
  }
  Arrived arrive(Event e) {
    EXPECT_TRUE(deliver(c(), e));
    return {(s().rip - kHandler) / 16, peek(s().gpr[RSP], 4)};
  }
};

TEST_F(InterruptTest, real_mode_pushes_three_words_and_clears_if_tf_ac) {
  real();
  poke(0x21 * 4, uint32_t{0x12345678});
  s().rip = 0x500;
  s().set_rflags(rflags::IF | rflags::TF | rflags::CF | rflags::AC);
  ASSERT_TRUE(deliver(c(), external(0x21, 0x500)));
  EXPECT_EQ(s().seg[CS].selector, 0x1234);
  EXPECT_EQ(s().seg[CS].base, 0x12340u);
  EXPECT_EQ(s().rip, 0x5678u);
  EXPECT_EQ(s().gpr[RSP], 0x7ffau);
  EXPECT_EQ(peek(0x7ffa, 2), 0x500u);
  EXPECT_EQ(peek(0x7ffe, 2), (rflags::IF | rflags::TF | rflags::CF | rflags::Fixed1));
  EXPECT_EQ(s().rflags(), rflags::CF | rflags::Fixed1);
}

TEST_F(InterruptTest, real_mode_stack_wraps_only_between_words) {
  real();
  s().gpr[RSP] = 0xabcd0000;
  ASSERT_TRUE(deliver(c(), external(1, 5)));
  EXPECT_EQ(s().gpr[RSP], 0xabcdfffau);
  s().gpr[RSP] = 3;
  EXPECT_FALSE(deliver(c(), external(1, 5)));  // a word at FFFFh does not fit, nor for #SS and #DF
  EXPECT_EQ(c().fault.vector, kShutdown);
}

TEST_F(InterruptTest, real_mode_vector_beyond_the_table_ends_in_shutdown) {
  real();
  s().idtr.limit = 0x1f;  // vectors 0-7
  EXPECT_FALSE(deliver(c(), external(0x21)));
  EXPECT_EQ(c().fault.vector, kShutdown);
  EXPECT_FALSE(deliver_fault(c()));
}

TEST_F(InterruptTest, same_ring_gate_sizes_and_flags) {
  struct Case {
    unsigned type, size;
    bool clears_if;
  };
  for (Case t : {Case{6, 2, true}, Case{7, 2, false}, Case{14, 4, true}, Case{15, 4, false}}) {
    protected_mode();
    set_idt(0x40, gate(kCode0, 0x12340, t.type, 0));
    s().set_rflags(rflags::IF | rflags::TF | rflags::NT | rflags::ZF);
    ASSERT_TRUE(deliver(c(), external(0x40)));
    EXPECT_EQ(s().rip, t.size == 2 ? 0x2340u : 0x12340u);
    EXPECT_EQ(s().gpr[RSP], kStack0 - 3 * t.size);
    EXPECT_EQ(peek(s().gpr[RSP], t.size), t.size == 2 ? kCode & 0xffff : kCode);
    EXPECT_EQ(peek(s().gpr[RSP] + t.size, t.size), kCode0);
    EXPECT_EQ(s().interrupt_flag, t.clears_if ? 0 : 1);
    EXPECT_EQ(s().system_flags, 0u);
    EXPECT_EQ(told_, 1u);
  }
}

TEST_F(InterruptTest, inner_ring_takes_the_stack_of_the_tss) {
  protected_mode(3);
  s().set_rflags(rflags::IF);
  Event e = exception(vec::GP);
  e.has_code = true;
  e.code = 0x1234;
  ASSERT_TRUE(deliver(c(), e));
  EXPECT_EQ(s().cpl, 0);
  EXPECT_EQ(s().seg[CS].selector, kCode0);
  EXPECT_EQ(s().seg[SS].selector, kData0);
  EXPECT_EQ(s().gpr[RSP], kStack0 - 24);
  EXPECT_EQ(peek(kStack0 - 24, 4), 0x1234u);
  EXPECT_EQ(peek(kStack0 - 20, 4), kCode);
  EXPECT_EQ(peek(kStack0 - 16, 4), kCode3);
  EXPECT_EQ(peek(kStack0 - 12, 4), (rflags::IF | rflags::RF | rflags::Fixed1));
  EXPECT_EQ(peek(kStack0 - 8, 4), kStack3);
  EXPECT_EQ(peek(kStack0 - 4, 4), kData3);
  EXPECT_EQ(peek(kGdt + kCode0 + 5, 1) & 1, 1u);  // accessed
  EXPECT_EQ(peek(kGdt + kData0 + 5, 1) & 1, 1u);
}

TEST_F(InterruptTest, conforming_handler_keeps_the_ring) {
  protected_mode(3);
  set_idt(0x40, gate(kConforming, kHandler, 14, 3));
  ASSERT_TRUE(deliver(c(), software(0x40)));
  EXPECT_EQ(s().cpl, 3);
  EXPECT_EQ(s().seg[CS].selector, kConforming | 3);
  EXPECT_EQ(s().gpr[RSP], kStack3 - 12);
}

// Every check on the way to a handler, with the fault that reports it; EXT is set unless a program asked.
TEST_F(InterruptTest, faults_of_delivery_have_exact_codes) {
  struct Case {
    const char* what;
    uint64_t idt;
    unsigned cpl;
    bool soft;
    uint64_t vector, code;
  };
  const Case cases[] = {
      {"not a gate", gate(kCode0, kHandler, 12, 3), 0, false, vec::GP, 0x40 * 8 + 3},
      {"dpl", gate(kCode0, kHandler, 14, 0), 3, true, vec::GP, 0x40 * 8 + 2},
      {"absent", gate(kCode0, kHandler, 14, 3, false), 0, false, vec::NP, 0x40 * 8 + 3},
      {"absent soft", gate(kCode0, kHandler, 14, 3, false), 3, true, vec::NP, 0x40 * 8 + 2},
      {"null cs", gate(3, kHandler, 14, 3), 0, false, vec::GP, 1},
      {"cs outside", gate(0x1000, kHandler, 14, 3), 0, false, vec::GP, 0x1001},
      {"cs in no ldt", gate(0x0c, kHandler, 14, 3), 0, true, vec::GP, 0x0c},
      {"cs is data", gate(kData0, kHandler, 14, 3), 0, true, vec::GP, kData0},
      {"cs is outer", gate(kCode3, kHandler, 14, 3), 0, false, vec::GP, (kCode3 & 0xfffc) + 1},
      {"cs absent", gate(kCodeAbsent, kHandler, 14, 3), 0, false, vec::NP, kCodeAbsent + 1},
      {"offset", gate(kCode16, 0x10000, 14, 3), 0, false, vec::GP, 1},
      {"task gate to no tss", gate(kData0, 0, 5, 3), 0, true, vec::GP, kData0},
      {"task gate to busy tss", gate(kFree, 0, 5, 3), 0, false, vec::GP, kFree + 1},
      {"task gate to absent tss", gate(kFree + 8, 0, 5, 3), 0, false, vec::NP, kFree + 9},
  };
  for (const Case& t : cases) {
    protected_mode(t.cpl);
    number_handlers();
    set_gdt(kFree, descriptor(kOtherTss, 103, 0x80 | 11));
    set_gdt(kFree + 8, descriptor(kOtherTss, 103, 9));
    set_idt(0x40, t.idt);
    EXPECT_EQ(arrive(t.soft ? software(0x40) : external(0x40)), (Arrived{t.vector, t.code})) << t.what;
    EXPECT_EQ(peek(s().gpr[RSP] + 4, 4), kCode) << t.what;  // the instruction, or where the interrupt came
  }
}

TEST_F(InterruptTest, vector_beyond_the_idt_is_gp_with_idt_bit) {
  protected_mode();
  number_handlers();
  s().idtr.limit = 0x40 * 8 + 6;
  EXPECT_EQ(arrive(external(0x40)), (Arrived{vec::GP, 0x40 * 8 + 3}));
  protected_mode();
  number_handlers();
  s().idtr.limit = 0x40 * 8 + 6;
  EXPECT_EQ(arrive(software(0x40)), (Arrived{vec::GP, 0x40 * 8 + 2}));
}

TEST_F(InterruptTest, bad_inner_stacks_are_ts_or_ss) {
  struct Case {
    const char* what;
    uint16_t ss;
    uint64_t vector, code;
  };
  for (const Case& t :
       {Case{"null", 0, vec::TS, 1}, Case{"outside", 0x2000, vec::TS, 0x2001},
        Case{"rpl", kData0 | 3, vec::TS, kData0 + 1},
        Case{"dpl", kData3 & 0xfffc, vec::TS, (kData3 & 0xfffc) + 1},
        Case{"code", kCode0, vec::TS, kCode0 + 1}, Case{"read only", kReadOnly, vec::TS, kReadOnly + 1},
        Case{"absent", kDataAbsent, vec::SS, kDataAbsent + 1}}) {
    protected_mode(3);
    // The fault itself goes to a conforming handler, which stays on the outer stack.
    for (unsigned v = 0; v < 32; v++) set_idt(v, gate(kConforming, kHandler + v * 16, 14, 3));
    poke(kTss + 8, t.ss);
    EXPECT_EQ(arrive(external(0x40)), (Arrived{t.vector, t.code})) << t.what;
  }
}

TEST_F(InterruptTest, tss_too_small_for_its_stack_is_ts_of_tr) {
  protected_mode(3);
  for (unsigned v = 0; v < 32; v++) set_idt(v, gate(kConforming, kHandler + v * 16, 14, 3));
  s().seg[TR].limit = 8;
  EXPECT_EQ(arrive(external(0x40)), (Arrived{vec::TS, kTssSel + 1}));
}

TEST_F(InterruptTest, inner_stack_without_room_is_ss_of_its_selector) {
  protected_mode(3);
  for (unsigned v = 0; v < 32; v++) set_idt(v, gate(kConforming, kHandler + v * 16, 14, 3));
  set_gdt(kFree, descriptor(0, 0x2fff, 0xc092 & ~0x8000u));
  poke(kTss + 8, kFree);
  poke(kTss + 4, uint32_t{0x4000});
  EXPECT_EQ(arrive(external(0x40)), (Arrived{vec::SS, kFree + 1}));
}

TEST_F(InterruptTest, stack16_tss_gives_inner_stack) {
  protected_mode(3);
  s().seg[TR].attr = attr::kPresent | 3;
  poke(kTss + 2, uint16_t{0x8800});
  poke(kTss + 4, kData16);
  ASSERT_TRUE(deliver(c(), external(0x40)));
  EXPECT_EQ(s().seg[SS].selector, kData16);
  EXPECT_EQ(s().gpr[RSP], 0x8800u - 20);
}

TEST_F(InterruptTest, contributory_pairs_make_a_double_fault) {
  // The first event's gate is absent, which is #NP.
  struct Case {
    Event first;
    uint64_t arrives;
  };
  for (const Case& t : {Case{exception(vec::GP), vec::DF}, Case{exception(vec::DE), vec::DF},
                        Case{exception(vec::PF), vec::DF}, Case{exception(vec::UD), vec::NP},
                        Case{exception(vec::NM), vec::NP}, Case{external(vec::GP), vec::NP},
                        Case{software(vec::GP), vec::NP}}) {
    protected_mode();
    number_handlers();
    set_idt(t.first.vector, gate(kCode0, kHandler, 14, 3, false));
    Arrived got = arrive(t.first);
    EXPECT_EQ(got.vector, t.arrives) << int{t.first.vector};
    if (t.arrives == vec::DF) {
      EXPECT_EQ(got.code, 0u);
    }
  }
}

TEST_F(InterruptTest, fault_in_the_double_fault_handler_shuts_down) {
  protected_mode();
  set_idt(vec::DF, gate(kCode0, kHandler, 14, 3, false));
  set_idt(vec::GP, gate(kCode0, kHandler, 14, 3, false));
  EXPECT_FALSE(deliver(c(), exception(vec::GP)));
  EXPECT_EQ(c().fault.vector, kShutdown);
  EXPECT_EQ(s().rip, kCode);
}

TEST_F(InterruptTest, page_fault_writes_cr2_and_faults_push_rf_but_traps_do_not) {
  protected_mode();
  s().rip = kCode;
  EXPECT_FALSE(c().raise(vec::PF, 6));
  c().fault.address = 0xdead000;
  ASSERT_TRUE(deliver_fault(c()));
  EXPECT_EQ(s().cr2, 0xdead000u);
  EXPECT_EQ(peek(kStack0 - 16, 4), 6u);
  EXPECT_EQ(peek(kStack0 - 4, 4) & rflags::RF, rflags::RF);

  protected_mode();
  c().fault = {.vector = vec::DB, .has_code = false, .code = 0, .address = 0, .dr6 = 0x4000};
  s().dr[7] |= 1 << 13;
  ASSERT_TRUE(deliver_fault(c()));
  EXPECT_EQ(peek(kStack0 - 4, 4) & rflags::RF, 0u);
  EXPECT_EQ(s().dr[6] & 0x4000, 0x4000u);
  EXPECT_EQ(s().dr[7] & (1 << 13), 0u);
}

TEST_F(InterruptTest, nmi_blocks_nmis_and_any_delivery_ends_the_shadow) {
  protected_mode();
  s().interrupt_shadow = s().shadow_is_mov_ss = 1;
  ASSERT_TRUE(deliver(c(), external(vec::NMI)));
  EXPECT_EQ(s().nmi_blocked, 1);
  EXPECT_EQ(s().interrupt_shadow, 0);
  EXPECT_EQ(s().shadow_is_mov_ss, 0);
}

TEST_F(InterruptTest, vm86_frame_has_all_segments_and_nulls_them) {
  vm86(3);
  ASSERT_TRUE(deliver(c(), external(0x40, 0x100)));
  EXPECT_EQ(s().cpl, 0);
  EXPECT_FALSE(s().vm86());
  EXPECT_EQ(s().gpr[RSP], kStack0 - 36);
  const uint64_t expected[] = {0x100, 0x1000, rflags::VM | rflags::IOPL | 2, 0x1000, 0x800, 0x700, 0x600,
                               0x500, 0x400};
  for (unsigned i = 0; i < 9; i++) EXPECT_EQ(peek(kStack0 - 36 + i * 4, 4), expected[i]) << i;
  for (SegIndex i : {ES, DS, FS, GS}) EXPECT_FALSE(s().seg[i].usable());
}

TEST_F(InterruptTest, vm86_to_a_conforming_or_outer_handler_is_gp) {
  vm86(3);
  number_handlers();
  set_idt(0x40, gate(kConforming, kHandler, 14, 3));
  EXPECT_EQ(arrive(external(0x40)), (Arrived{vec::GP, kConforming + 1}));
}

TEST_F(InterruptTest, long_mode_always_pushes_ss_rsp_on_an_aligned_stack) {
  long_mode();
  s().gpr[RSP] = kStack0 - 3;
  s().set_rflags(rflags::IF | rflags::CF);
  ASSERT_TRUE(deliver(c(), external(0x40)));
  uint64_t sp = kStack0 - 16 - 40;
  EXPECT_EQ(s().gpr[RSP], sp);
  const uint64_t expected[] = {kCode, kCode64, rflags::IF | rflags::CF | 2, kStack0 - 3, kData0};
  for (unsigned i = 0; i < 5; i++) EXPECT_EQ(peek(sp + i * 8, 8), expected[i]) << i;
  EXPECT_EQ(s().seg[SS].selector, kData0);  // only a change of ring loads a null SS
  EXPECT_EQ(s().interrupt_flag, 0);
}

TEST_F(InterruptTest, long_mode_inner_ring_and_ist) {
  long_mode(3);
  Event e = exception(vec::PF);
  e.has_code = true;
  e.code = 4;
  ASSERT_TRUE(deliver(c(), e));
  EXPECT_EQ(s().cpl, 0);
  EXPECT_EQ(s().gpr[RSP], kStack0 - 48);
  EXPECT_EQ(peek(kStack0 - 48, 8), 4u);
  EXPECT_EQ(s().seg[SS].selector, 0);
  EXPECT_FALSE(s().seg[SS].usable());
  EXPECT_EQ(s().seg[CS].selector, kCode64);

  long_mode();
  set_idt64(0x40, kCode64, 0xffff800000001000, 15, 0, 1);
  ASSERT_TRUE(deliver(c(), external(0x40)));
  EXPECT_EQ(s().gpr[RSP], kIstStack - 40);
  EXPECT_EQ(s().rip, 0xffff800000001000u);
}

TEST_F(InterruptTest, long_mode_gate_faults) {
  struct Case {
    const char* what;
    uint16_t cs;
    uint64_t offset;
    unsigned type;
    uint64_t vector, code;
  };
  for (const Case& t : {Case{"16-bit gate", kCode64, kHandler, 6, vec::GP, 0x203},
                        Case{"task gate", kTssSel, 0, 5, vec::GP, 0x203},
                        Case{"32-bit code", kCode0, kHandler, 14, vec::GP, kCode0 + 1},
                        Case{"not canonical", kCode64, 0x8000000000000000, 14, vec::GP, 1}}) {
    long_mode(3);
    for (unsigned v = 0; v < 32; v++) set_idt64(v, kCode64, kHandler + v * 16, 14, 0);
    set_idt64(0x40, t.cs, t.offset, t.type, 3);
    ASSERT_TRUE(deliver(c(), external(0x40)));
    EXPECT_EQ((s().rip - kHandler) / 16, t.vector) << t.what;
    EXPECT_EQ(peek(s().gpr[RSP], 8), t.code) << t.what;
  }
}

TEST_F(InterruptTest, long_mode_stack_that_is_not_canonical_is_ss) {
  long_mode(3);
  for (unsigned v = 0; v < 32; v++) set_idt64(v, kCode64, kHandler + v * 16, 14, 0, 1);
  poke(kTss + 4, uint64_t{0x900000000000});
  ASSERT_TRUE(deliver(c(), external(0x40)));
  EXPECT_EQ((s().rip - kHandler) / 16, vec::SS);
  EXPECT_EQ(peek(s().gpr[RSP], 8), 1u);
}

TEST_F(InterruptTest, software_interrupts_in_vm86_follow_iopl_and_the_redirection_map) {
  vm86(0);
  EXPECT_TRUE(faulted(software_interrupt(c(), EventKind::SoftwareInt, 0x21, 0x102), vec::GP, 0));
  ASSERT_TRUE(software_interrupt(c(), EventKind::Int3OrInto, 3, 0x101));  // INT3 looks at no IOPL
  EXPECT_EQ(s().cpl, 0);

  vm86(3);
  ASSERT_TRUE(software_interrupt(c(), EventKind::SoftwareInt, 0x21, 0x102));
  EXPECT_EQ(s().cpl, 0);

  vm86(0);
  s().cr4 = cr4::VME;
  s().system_flags |= rflags::VIF;
  poke(0x21 * 4, uint32_t{0x20000300});
  ASSERT_TRUE(software_interrupt(c(), EventKind::SoftwareInt, 0x21, 0x102));
  EXPECT_EQ(s().cpl, 3);
  EXPECT_EQ(s().seg[CS].selector, 0x2000);
  EXPECT_EQ(s().rip, 0x300u);
  EXPECT_EQ(s().gpr[RSP], 0xffau);
  EXPECT_EQ(peek(0x8ffe, 2), (rflags::IF | rflags::IOPL | 2));
  EXPECT_EQ(s().system_flags & rflags::VIF, 0u);

  vm86(0);
  s().cr4 = cr4::VME;
  poke(kTss + 0x68 + 4, uint8_t{2});  // vector 21h not redirected
  EXPECT_TRUE(faulted(software_interrupt(c(), EventKind::SoftwareInt, 0x21, 0x102), vec::GP, 0));
}

TEST_F(InterruptTest, io_permission) {
  protected_mode(3);
  poke(kTss + 0x88 + 0x60 / 8, uint8_t{0x10});  // port 64h denied
  EXPECT_TRUE(check_io_permission(c(), 0x60, 4));
  EXPECT_TRUE(faulted(check_io_permission(c(), 0x64, 1), vec::GP, 0));
  EXPECT_TRUE(faulted(check_io_permission(c(), 0x61, 4), vec::GP, 0));
  EXPECT_TRUE(check_io_permission(c(), 0x65, 2));
  s().seg[TR].limit = 0x88 + 0x10;
  EXPECT_TRUE(check_io_permission(c(), 0x7f, 1));
  EXPECT_TRUE(faulted(check_io_permission(c(), 0x80, 1), vec::GP, 0));  // its second byte is outside
  s().system_flags = rflags::IOPL;
  EXPECT_TRUE(check_io_permission(c(), 0x64, 1));
  s().seg[TR].attr = attr::kPresent | 3;
  s().system_flags = 0;
  EXPECT_TRUE(faulted(check_io_permission(c(), 0x60, 1), vec::GP, 0));  // no map in a 16-bit TSS
}

}  // namespace
}  // namespace rhea::cpu::test
