#include "cpu/test_machine.h"

namespace rhea::cpu::test {
namespace {

class SegmentTest : public CpuTest {};

TEST_F(SegmentTest, real_mode_keeps_limit_and_size) {
  real();
  s().seg[DS].limit = 0xffffffff;
  s().seg[DS].attr |= attr::kBig | attr::kGranular;
  ASSERT_TRUE(load_segment(c(), DS, 0xabcd));
  EXPECT_EQ(s().seg[DS].base, 0xabcd0u);
  EXPECT_EQ(s().seg[DS].limit, 0xffffffffu);
  uint64_t linear;
  EXPECT_TRUE(to_linear(c(), DS, 0x12345678, 4, true, linear));
  EXPECT_EQ(linear, 0xabcd0u + 0x12345678);
}

TEST_F(SegmentTest, data_segment_checks) {
  struct Case {
    const char* what;
    unsigned cpl;
    uint16_t selector;
    int vector;  // -1: loads
    uint16_t code;
  };
  for (const Case& t :
       {Case{"ring 0 data", 0, kData0, -1, 0}, Case{"null", 3, 3, -1, 0},
        Case{"readable code", 0, kCode0, -1, 0}, Case{"conforming from ring 3", 3, kConforming | 3, -1, 0},
        Case{"read only", 0, kReadOnly, -1, 0}, Case{"outer data", 0, kData3, -1, 0},
        Case{"inner data", 3, kData0, vec::GP, kData0}, Case{"rpl too large", 0, kData0 | 3, vec::GP, kData0},
        Case{"outside", 0, 0x1000, vec::GP, 0x1000}, Case{"no ldt", 0, 0x0c, vec::GP, 0x0c},
        Case{"system", 0, kTssSel, vec::GP, kTssSel}, Case{"execute only", 0, kExecOnly, vec::GP, kExecOnly},
        Case{"absent", 0, kDataAbsent, vec::NP, kDataAbsent}}) {
    protected_mode(t.cpl);
    bool ok = load_segment(c(), ES, t.selector);
    if (t.vector < 0) {
      EXPECT_TRUE(ok) << t.what;
      EXPECT_EQ(s().seg[ES].selector, t.selector) << t.what;
      EXPECT_EQ(s().seg[ES].usable(), (t.selector & 0xfffc) != 0) << t.what;
      if (s().seg[ES].usable()) {
        EXPECT_EQ(peek(kGdt + (t.selector & 0xfff8u) + 5, 1) & 1, 1u) << t.what;
      }
    } else {
      EXPECT_TRUE(faulted(ok, static_cast<uint8_t>(t.vector), t.code)) << t.what;
    }
  }
}

TEST_F(SegmentTest, stack_segment_checks) {
  struct Case {
    const char* what;
    unsigned cpl;
    uint16_t selector;
    int vector;
    uint16_t code;
  };
  for (const Case& t :
       {Case{"same ring", 3, kData3, -1, 0}, Case{"null", 0, 0, vec::GP, 0},
        Case{"rpl", 0, kData0 | 1, vec::GP, kData0},
        Case{"dpl", 0, kData3 & 0xfffc, vec::GP, kData3 & 0xfffc},
        Case{"read only", 0, kReadOnly, vec::GP, kReadOnly}, Case{"code", 0, kCode0, vec::GP, kCode0},
        Case{"absent", 0, kDataAbsent, vec::SS, kDataAbsent}}) {
    protected_mode(t.cpl);
    bool ok = load_segment(c(), SS, t.selector);
    if (t.vector < 0) {
      EXPECT_TRUE(ok) << t.what;
      EXPECT_EQ(s().interrupt_shadow, 1);
      EXPECT_EQ(s().shadow_is_mov_ss, 1);
    } else {
      EXPECT_TRUE(faulted(ok, static_cast<uint8_t>(t.vector), t.code)) << t.what;
      EXPECT_EQ(s().interrupt_shadow, 0);
    }
    clear_shadow();
  }
}

TEST_F(SegmentTest, null_ss_is_for_inner_64_bit_code_only) {
  long_mode();
  EXPECT_TRUE(load_segment(c(), SS, 0));
  EXPECT_TRUE(faulted(load_segment(c(), SS, 1), vec::GP, 0));
  long_mode(3);
  EXPECT_TRUE(faulted(load_segment(c(), SS, 3), vec::GP, 0));
}

TEST_F(SegmentTest, changes_outside_64_bit_code_are_told_once) {
  protected_mode();
  ASSERT_TRUE(load_segment(c(), DS, kData0));
  unsigned before = told_;
  ASSERT_TRUE(load_segment(c(), DS, kData0));
  EXPECT_EQ(told_, before);
  ASSERT_TRUE(load_segment(c(), DS, kData16));
  EXPECT_EQ(told_, before + 1);
}

TEST_F(SegmentTest, ldt_and_tr) {
  protected_mode();
  ASSERT_TRUE(load_ldtr(c(), kLdtSel));
  EXPECT_EQ(s().seg[LDTR].base, kLdt);
  poke(kLdt + 8, descriptor(0x4000, 0xfff, 0x80 | attr::kS | attr::kWritable));
  ASSERT_TRUE(load_segment(c(), FS, 0x0c));
  EXPECT_EQ(s().seg[FS].base, 0x4000u);
  EXPECT_EQ(s().seg[FS].limit, 0xfffu);
  EXPECT_TRUE(faulted(load_ldtr(c(), kData0), vec::GP, kData0));
  EXPECT_TRUE(faulted(load_ldtr(c(), kLdtSel | 4), vec::GP, kLdtSel | 4));
  ASSERT_TRUE(load_ldtr(c(), 0));
  EXPECT_TRUE(faulted(load_segment(c(), FS, 0x0c), vec::GP, 0x0c));

  EXPECT_TRUE(faulted(load_tr(c(), 0), vec::GP, 0));
  ASSERT_TRUE(load_tr(c(), kTssSel));
  EXPECT_EQ(peek(kGdt + kTssSel + 5, 1), 0x8bu);
  EXPECT_EQ(s().seg[TR].attr & 0xf, 11u);
  EXPECT_TRUE(faulted(load_tr(c(), kTssSel), vec::GP, kTssSel));  // busy
  s().cpl = 3;
  EXPECT_TRUE(faulted(load_tr(c(), kTssSel), vec::GP, 0));
  real();
  s().cpl = 0;
  EXPECT_TRUE(faulted(load_tr(c(), kTssSel), vec::UD));
}

TEST_F(SegmentTest, system_descriptors_have_16_bytes_in_long_mode) {
  long_mode();
  poke(kGdt + kLdtSel + 8, uint64_t{0xffff8000});
  ASSERT_TRUE(load_ldtr(c(), kLdtSel));
  EXPECT_EQ(s().seg[LDTR].base, 0xffff800000000000u + kLdt);
  poke(kGdt + kLdtSel + 8, uint64_t{0x80000000});
  EXPECT_TRUE(faulted(load_ldtr(c(), kLdtSel), vec::GP, kLdtSel));  // not canonical
  poke(kGdt + kLdtSel + 8, uint64_t{1} << 40);
  EXPECT_TRUE(faulted(load_ldtr(c(), kLdtSel), vec::GP, kLdtSel));  // type of the upper half
  s().gdtr.limit = kTssSel + 14;
  EXPECT_TRUE(faulted(load_tr(c(), kTssSel), vec::GP, kTssSel));
}

TEST_F(SegmentTest, accesses_are_checked) {
  protected_mode();
  uint64_t linear;
  auto check = [&](uint32_t attributes, uint32_t limit, uint64_t offset, unsigned size, bool write) {
    s().seg[ES] = {.base = 0x1000, .limit = limit, .attr = attributes, .selector = 8, .pad = {}};
    return to_linear(c(), ES, offset, size, write, linear);
  };
  EXPECT_TRUE(check(0x93, 0xfff, 0xffc, 4, true));
  EXPECT_EQ(linear, 0x1ffcu);
  EXPECT_TRUE(faulted(check(0x93, 0xfff, 0xffd, 4, true), vec::GP, 0));
  EXPECT_TRUE(faulted(check(0x91, 0xfff, 0, 4, true), vec::GP, 0));  // read-only
  EXPECT_TRUE(faulted(check(0x9b, 0xfff, 0, 4, true), vec::GP, 0));  // code
  EXPECT_TRUE(check(0x9b, 0xfff, 0, 4, false));
  EXPECT_TRUE(faulted(check(0x99, 0xfff, 0, 4, false), vec::GP, 0));  // execute-only
  EXPECT_TRUE(faulted(check(attr::kUnusable, 0xfff, 0, 1, false), vec::GP, 0));
  EXPECT_TRUE(check(0x97, 0xfff, 0x1000, 1, true));  // expand-down, 16-bit
  EXPECT_TRUE(faulted(check(0x97, 0xfff, 0xfff, 1, true), vec::GP, 0));
  EXPECT_TRUE(faulted(check(0x97, 0xfff, 0xffff, 2, true), vec::GP, 0));
  EXPECT_TRUE(check(0x4097, 0xfff, 0xffff, 2, true));
  EXPECT_TRUE(check(0xc093, ~0u, 0xfffff800, 4, true));
  EXPECT_EQ(linear, 0x800u);
  s().seg[SS].limit = 0xff;
  EXPECT_TRUE(faulted(to_linear(c(), SS, 0x100, 1, false, linear), vec::SS, 0));
}

TEST_F(SegmentTest, accesses_in_64_bit_mode_use_fs_gs_bases_and_canonical_form) {
  long_mode();
  uint64_t linear;
  s().seg[DS].base = 0x1000;
  s().seg[GS].base = 0xffff800000000000;
  EXPECT_TRUE(to_linear(c(), DS, 8, 8, true, linear));
  EXPECT_EQ(linear, 8u);
  EXPECT_TRUE(to_linear(c(), GS, 8, 8, true, linear));
  EXPECT_EQ(linear, 0xffff800000000008u);
  EXPECT_TRUE(faulted(to_linear(c(), DS, 0x7ffffffffffc, 8, false, linear), vec::GP, 0));
  EXPECT_TRUE(faulted(to_linear(c(), SS, 0x800000000000, 8, false, linear), vec::SS, 0));
  s().cr4 |= cr4::LA57;
  EXPECT_TRUE(to_linear(c(), DS, 0x800000000000, 8, false, linear));
}

TEST_F(SegmentTest, queries) {
  protected_mode(3);
  uint32_t value = 0;
  bool faulted_flag = false;
  EXPECT_TRUE(lar(c(), kCode3, value, faulted_flag));
  EXPECT_EQ(value, 0x00cffa00u);
  EXPECT_FALSE(lar(c(), kCode0, value, faulted_flag));
  EXPECT_TRUE(lar(c(), kConforming, value, faulted_flag));
  EXPECT_FALSE(lar(c(), 0x2000, value, faulted_flag));
  EXPECT_FALSE(lar(c(), 0, value, faulted_flag));
  EXPECT_FALSE(faulted_flag);
  EXPECT_TRUE(lsl(c(), kData3, value, faulted_flag));
  EXPECT_EQ(value, ~0u);
  EXPECT_TRUE(verify(c(), kData3, true, faulted_flag));
  EXPECT_FALSE(verify(c(), kCode3, true, faulted_flag));
  EXPECT_TRUE(verify(c(), kCode3, false, faulted_flag));
  EXPECT_FALSE(verify(c(), kTssSel, false, faulted_flag));
  protected_mode(0);
  EXPECT_TRUE(lsl(c(), kTssSel, value, faulted_flag));
  EXPECT_EQ(value, 0x20ffu);
  EXPECT_FALSE(verify(c(), kExecOnly, false, faulted_flag));
  set_gdt(kFree, gate(kCode0, 0, 12, 0));
  EXPECT_TRUE(lar(c(), kFree, value, faulted_flag));
  EXPECT_FALSE(lsl(c(), kFree, value, faulted_flag));
}

}  // namespace
}  // namespace rhea::cpu::test
