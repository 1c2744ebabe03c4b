#include "cpu/cpuid.h"
#include "cpu/smm_layout.h"
#include "cpu/test_machine.h"

namespace rhea::cpu::test {
namespace {

class SmmTest : public CpuTest {
 protected:
  void SetUp() override { c().cpuid = &table_; }
  void use(bool wide) {
    table_.features.set(Feature::lm, wide);
    s().smbase = 0x30000;
  }
  // Everything the map keeps.
  void expect_equal(const CpuState& a, const CpuState& b) {
    for (unsigned i = 0; i < 16; i++) EXPECT_EQ(a.gpr[i], b.gpr[i]) << i;
    for (unsigned i = 0; i < kSegCount; i++) {
      EXPECT_EQ(a.seg[i].selector, b.seg[i].selector) << i;
      EXPECT_EQ(a.seg[i].base, b.seg[i].base) << i;
      EXPECT_EQ(a.seg[i].limit, b.seg[i].limit) << i;
      EXPECT_EQ(a.seg[i].attr, b.seg[i].attr) << i;
    }
    EXPECT_EQ(a.rip, b.rip);
    EXPECT_EQ(a.rflags(), b.rflags());
    EXPECT_EQ(a.cr0, b.cr0);
    EXPECT_EQ(a.cr3, b.cr3);
    EXPECT_EQ(a.cr4, b.cr4);
    EXPECT_EQ(a.efer, b.efer);
    EXPECT_EQ(a.cpl, b.cpl);
    EXPECT_EQ(a.gdtr.base, b.gdtr.base);
    EXPECT_EQ(a.idtr.limit, b.idtr.limit);
    EXPECT_EQ(a.dr[7], b.dr[7]);
    EXPECT_EQ(a.nmi_blocked, b.nmi_blocked);
  }
  CpuidTable table_;
};

TEST_F(SmmTest, long_mode_round_trip) {
  use(true);
  long_mode(3);
  for (unsigned i = 0; i < 16; i++) s().gpr[i] = 0x1111111111111111u * i;
  s().set_rflags(rflags::IF | rflags::ZF);
  s().seg[GS].base = 0xffff888000000000;
  s().seg[FS] = {.base = 0, .limit = 0, .attr = attr::kUnusable, .selector = 0, .pad = {}};
  CpuState before = s();
  enter_smm(c());
  EXPECT_EQ(s().in_smm, 1);
  EXPECT_EQ(s().rip, 0x8000u);
  EXPECT_EQ(s().seg[CS].base, 0x30000u);
  EXPECT_EQ(s().seg[CS].selector, 0x3000);
  EXPECT_EQ(s().seg[DS].limit, ~0u);
  EXPECT_EQ(s().cr0 & (cr0::PE | cr0::PG), 0u);
  EXPECT_EQ(s().efer, 0u);
  EXPECT_EQ(s().cpl, 0);
  EXPECT_EQ(s().nmi_blocked, 1);
  EXPECT_EQ(peek(0x3fefc, 4), 0x20064u);
  EXPECT_EQ(peek(0x3ff00, 4), 0x30000u);
  EXPECT_EQ(peek(0x3ff78, 8), kCode);
  EXPECT_EQ(peek(0x3fff8, 8), before.gpr[RAX]);
  EXPECT_EQ(peek(0x3ff80, 8), before.gpr[R15]);
  ASSERT_TRUE(rsm(c()));
  EXPECT_EQ(s().in_smm, 0);
  expect_equal(before, s());
  EXPECT_GE(flushed_global_, 2u);
}

TEST_F(SmmTest, narrow_round_trip_and_relocation) {
  use(false);
  protected_mode(3);
  for (unsigned i = 0; i < 8; i++) s().gpr[i] = 0x11111111 * i;
  s().efer = efer::NXE;
  CpuState before = s();
  enter_smm(c());
  EXPECT_EQ(s().efer, efer::NXE);
  EXPECT_EQ(peek(0x3fefc, 4), 0x20000u);
  EXPECT_EQ(peek(0x3fff0, 4), kCode);
  EXPECT_EQ(peek(0x3ffd0, 4), before.gpr[RAX]);
  poke(0x3fef8, uint32_t{0xa0000});
  ASSERT_TRUE(rsm(c()));
  expect_equal(before, s());
  EXPECT_EQ(s().smbase, 0xa0000u);
}

TEST_F(SmmTest, rsm_outside_smm_is_ud_and_impossible_state_shuts_down) {
  use(true);
  protected_mode();
  EXPECT_TRUE(faulted(rsm(c()), vec::UD));
  enter_smm(c());
  poke(0x3ff58, uint64_t{cr0::PG});
  EXPECT_TRUE(faulted(rsm(c()), kShutdown));
}

TEST_F(SmmTest, memory_is_exchanged) {
  use(true);
  protected_mode();
  std::recursive_mutex lock;
  memory::AddressSpace other("smm", lock);
  auto ram = *memory::RamBlock::create("smram", 1 << 20);
  ASSERT_TRUE(other.map_ram(Gpa{0}, *ram, 0, 1 << 20));
  memory::AddressSpace* normal = c().memory;
  c().smm_memory = &other;
  enter_smm(c());
  EXPECT_EQ(c().memory, &other);
  EXPECT_EQ(peek(0x3fefc, 4), 0u);
  EXPECT_EQ(ram->host()[0x3fefc], 0x64);
  ASSERT_TRUE(rsm(c()));
  EXPECT_EQ(c().memory, normal);
  EXPECT_EQ(c().smm_memory, &other);
}

class ResetTest : public CpuTest {};

TEST_F(ResetTest, power_up_and_init) {
  c().index = 1;
  reset_core(c(), true);
  EXPECT_EQ(s().cr0, 0x60000010u);
  EXPECT_EQ(s().rip, 0xfff0u);
  EXPECT_EQ(s().seg[CS].base, 0xffff0000u);
  EXPECT_EQ(s().seg[CS].selector, 0xf000);
  EXPECT_EQ(s().rflags(), 2u);
  EXPECT_EQ(s().dr[6], 0xffff0ff0u);
  EXPECT_EQ(s().dr[7], 0x400u);
  EXPECT_EQ(s().apic_base, 0xfee00800u);
  EXPECT_EQ(s().wait_for_sipi, 1);
  EXPECT_EQ(s().xcr0, 1u);
  EXPECT_EQ(peek(0, 1), 0u);
  s().cr0 = cr0::PE | cr0::ET;
  s().lstar = 5;
  s().xcr0 = 7;
  s().gpr[RAX] = 9;
  reset_core(c(), false);
  EXPECT_EQ(s().cr0, cr0::ET);
  EXPECT_EQ(s().lstar, 5u);
  EXPECT_EQ(s().xcr0, 7u);
  EXPECT_EQ(s().gpr[RAX], 0u);
}

}  // namespace
}  // namespace rhea::cpu::test
