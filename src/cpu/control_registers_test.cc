#include "cpu/cpuid.h"
#include "cpu/test_machine.h"

namespace rhea::cpu::test {
namespace {

class ControlTest : public CpuTest {
 protected:
  void SetUp() override {
    for (unsigned i = 0; i < kFeatureCount; i++) table_.features.set(static_cast<Feature>(i));
    table_.xcr0_allowed = 0xe7;
    c().cpuid = &table_;
  }
  CpuidTable table_;
};

TEST_F(ControlTest, cr0_impossible_combinations) {
  protected_mode();
  EXPECT_TRUE(faulted(write_cr0(c(), cr0::PG), vec::GP, 0));
  EXPECT_TRUE(faulted(write_cr0(c(), cr0::PE | cr0::NW), vec::GP, 0));
  EXPECT_TRUE(faulted(write_cr0(c(), 1ull << 32), vec::GP, 0));
  s().cpl = 3;
  EXPECT_TRUE(faulted(write_cr0(c(), cr0::PE), vec::GP, 0));
  s().cpl = 0;
  ASSERT_TRUE(write_cr0(c(), cr0::PE | 1 << 6));
  EXPECT_EQ(s().cr0, cr0::PE | cr0::ET);  // reserved bits stay 0, ET 1
}

TEST_F(ControlTest, cr0_flushes_for_paging_and_wp_only) {
  long_mode();
  ASSERT_TRUE(write_cr0(c(), s().cr0 | cr0::TS | cr0::MP | cr0::AM));
  EXPECT_EQ(flushed_global_, 0u);
  EXPECT_EQ(told_, 1u);
  ASSERT_TRUE(write_cr0(c(), s().cr0 & ~cr0::WP));
  EXPECT_EQ(flushed_global_, 1u);
}

TEST_F(ControlTest, entering_and_leaving_long_mode) {
  long_mode();
  s().cr0 &= ~cr0::PG;
  s().efer = efer::LME;
  enter(kCode0, kData0);
  uint64_t on = cr0::PE | cr0::PG;
  s().cr4 = 0;
  EXPECT_TRUE(faulted(write_cr0(c(), on), vec::GP, 0));  // no PAE
  s().cr4 = cr4::PAE;
  s().seg[CS].attr |= attr::kLong;
  EXPECT_TRUE(faulted(write_cr0(c(), on), vec::GP, 0));  // L already
  enter(kCode0, kData0);
  s().seg[TR].attr = attr::kPresent | 3;
  EXPECT_TRUE(faulted(write_cr0(c(), on), vec::GP, 0));  // 16-bit TSS
  s().seg[TR].attr = attr::kPresent | 11;
  ASSERT_TRUE(write_cr0(c(), on));
  EXPECT_TRUE(s().long_mode());
  EXPECT_TRUE(faulted(write_cr4(c(), 0), vec::GP, 0));
  EXPECT_TRUE(faulted(write_efer(c(), 0), vec::GP, 0));
  EXPECT_TRUE(faulted(write_cr4(c(), cr4::PAE | cr4::LA57), vec::GP, 0));
  ASSERT_TRUE(jmp_far(c(), kCode64, kCode, 4, 0));
  EXPECT_TRUE(faulted(write_cr0(c(), cr0::PE), vec::GP, 0));  // from 64-bit code
  ASSERT_TRUE(jmp_far(c(), kCode0, kCode, 4, 0));
  ASSERT_TRUE(write_cr0(c(), cr0::PE));
  EXPECT_FALSE(s().long_mode());
  EXPECT_EQ(s().efer & efer::LME, efer::LME);
}

TEST_F(ControlTest, pae_paging_loads_its_pointers) {
  protected_mode();
  s().cr4 = cr4::PAE;
  s().cr3 = kPageTables;
  poke(kPageTables, uint64_t{1 | 2});  // reserved bit 1
  EXPECT_TRUE(faulted(write_cr0(c(), cr0::PE | cr0::PG), vec::GP, 0));
  EXPECT_EQ(s().cr0 & cr0::PG, 0u);
  poke(kPageTables, kPageTables + 0x1000 + 1);
  ASSERT_TRUE(write_cr0(c(), cr0::PE | cr0::PG));
  poke(kPageTables + 8, uint64_t{1 | 1ull << 50});
  EXPECT_TRUE(faulted(write_cr3(c(), kPageTables), vec::GP, 0));
}

TEST_F(ControlTest, cr3_and_pcid) {
  long_mode();
  EXPECT_TRUE(faulted(write_cr3(c(), 1ull << 45), vec::GP, 0));
  EXPECT_TRUE(faulted(write_cr3(c(), kPageTables | 1ull << 63), vec::GP, 0));
  ASSERT_TRUE(write_cr3(c(), kPageTables));
  EXPECT_EQ(flushed_, 1u);
  s().cr3 |= 8;
  EXPECT_TRUE(faulted(write_cr4(c(), s().cr4 | cr4::PCIDE), vec::GP, 0));
  s().cr3 = kPageTables;
  ASSERT_TRUE(write_cr4(c(), s().cr4 | cr4::PCIDE));
  told_ = 0;
  ASSERT_TRUE(write_cr3(c(), kPageTables | 5 | 1ull << 63));
  EXPECT_EQ(s().cr3, kPageTables | 5);
  EXPECT_EQ(flushed_, 1u);
  EXPECT_EQ(told_, 1u);
  ASSERT_TRUE(write_cr3(c(), kPageTables | 5));
  EXPECT_EQ(flushed_, 2u);
  EXPECT_TRUE(faulted(write_cr0(c(), s().cr0 & ~cr0::PG), vec::GP, 0));
}

TEST_F(ControlTest, cr4_bits_follow_cpuid) {
  long_mode();
  for (auto [feature, bit] : {std::pair{Feature::smep, cr4::SMEP},
                              {Feature::smap, cr4::SMAP},
                              {Feature::umip, cr4::UMIP},
                              {Feature::pge, cr4::PGE},
                              {Feature::fsgsbase, cr4::FSGSBASE},
                              {Feature::pku, cr4::PKE},
                              {Feature::xsave, cr4::OSXSAVE},
                              {Feature::vme, cr4::PVI}}) {
    table_.features.set(feature, false);
    EXPECT_TRUE(faulted(write_cr4(c(), s().cr4 | bit), vec::GP, 0));
    table_.features.set(feature, true);
    EXPECT_TRUE(write_cr4(c(), s().cr4 | bit));
  }
  EXPECT_TRUE(faulted(write_cr4(c(), s().cr4 | cr4::VMXE), vec::GP, 0));
  EXPECT_TRUE(faulted(write_cr4(c(), s().cr4 | 1ull << 40), vec::GP, 0));
}

TEST_F(ControlTest, cached_system_pages_follow_invlpg_cr3_and_wp) {
  long_mode();
  constexpr uint64_t kEntry = kPageTables + 0x2000;  // of the first 2 MiB
  constexpr uint64_t kTable = kPageTables + 0x3000, kLinear = 0x50000;
  for (unsigned i = 0; i < 512; i++) poke(kTable + i * 8, i * 0x1000ull + 3);
  poke(kEntry, kTable + 3);
  ASSERT_TRUE(write_cr3(c(), kPageTables));
  uint64_t value = 0;
  auto read = [&] {
    EXPECT_TRUE(read_linear(c(), kLinear, value, Privilege::Implicit));
    return value;
  };
  poke(kLinear, uint64_t{1});
  poke(kLinear + 0x1000, uint64_t{2});
  EXPECT_EQ(read(), 1u);
  EXPECT_EQ(read(), 1u);
  uint64_t pte = kTable + (kLinear >> 12) * 8;
  poke(pte, kLinear + 0x1000 + 3);
  c().hooks->flush_page(c(), kLinear);
  EXPECT_EQ(read(), 2u);
  poke(pte, kLinear + 3);
  ASSERT_TRUE(write_cr3(c(), kPageTables));
  EXPECT_EQ(read(), 1u);

  EXPECT_TRUE(write_linear(c(), kLinear, uint64_t{5}, Privilege::Supervisor));
  EXPECT_TRUE(write_linear(c(), kLinear, uint64_t{6}, Privilege::Supervisor));
  EXPECT_EQ(peek(kLinear, 8), 6u);
  poke(pte, kLinear + 1);  // read-only
  c().hooks->flush_page(c(), kLinear);
  EXPECT_TRUE(faulted(write_linear(c(), kLinear, uint64_t{7}, Privilege::Supervisor), vec::PF, 3));
  ASSERT_TRUE(write_cr0(c(), s().cr0 & ~cr0::WP));
  EXPECT_TRUE(write_linear(c(), kLinear, uint64_t{7}, Privilege::Supervisor));
  ASSERT_TRUE(write_cr0(c(), s().cr0 | cr0::WP));
  EXPECT_TRUE(faulted(write_linear(c(), kLinear, uint64_t{8}, Privilege::Supervisor), vec::PF, 3));
}

TEST_F(ControlTest, efer) {
  protected_mode();
  EXPECT_TRUE(faulted(write_efer(c(), efer::SVME), vec::GP, 0));
  ASSERT_TRUE(write_efer(c(), efer::LME | efer::LMA | efer::NXE));
  EXPECT_EQ(s().efer, efer::LME | efer::NXE);
  EXPECT_EQ(flushed_global_, 1u);
  table_.features.set(Feature::nx, false);
  EXPECT_TRUE(faulted(write_efer(c(), efer::NXE), vec::GP, 0));
}

TEST_F(ControlTest, xcr0) {
  protected_mode();
  for (uint64_t bad : {0ull, 2ull, 5ull, 0x23ull, 0xe3ull, 0x67ull, 0x207ull})
    EXPECT_TRUE(faulted(write_xcr0(c(), bad), vec::GP, 0)) << bad;
  for (uint64_t good : {1ull, 3ull, 7ull, 0xe7ull}) EXPECT_TRUE(write_xcr0(c(), good)) << good;
}

TEST_F(ControlTest, debug_registers) {
  protected_mode();
  uint64_t v;
  ASSERT_TRUE(write_dr(c(), 0, 0xffff800000001234));
  ASSERT_TRUE(read_dr(c(), 0, v));
  EXPECT_EQ(v, 0xffff800000001234u);
  ASSERT_TRUE(write_dr(c(), 6, 0));
  ASSERT_TRUE(read_dr(c(), 4, v));
  EXPECT_EQ(v, 0xffff0ff0u);
  ASSERT_TRUE(write_dr(c(), 7, 0xffffffff));
  EXPECT_EQ(s().dr[7], 0xffff27ffu);
  EXPECT_TRUE(faulted(read_dr(c(), 0, v), vec::DB));  // GD
  EXPECT_EQ(c().fault.dr6, 0x2000u);
  s().dr[7] = 0x400;
  EXPECT_TRUE(faulted(write_dr(c(), 7, 1ull << 32), vec::GP, 0));
  s().cr4 = cr4::DE;
  EXPECT_TRUE(faulted(read_dr(c(), 4, v), vec::UD));
  s().cpl = 3;
  EXPECT_TRUE(faulted(read_dr(c(), 0, v), vec::GP, 0));
}

TEST_F(ControlTest, popf_and_pushf) {
  using namespace rflags;
  uint64_t all = ~0ull, v;
  protected_mode();
  ASSERT_TRUE(popf(c(), all, 4));
  EXPECT_EQ(s().rflags(), kStatus | Fixed1 | TF | IF | DF | IOPL | NT | AC | ID);
  protected_mode(3);
  ASSERT_TRUE(popf(c(), all, 8));
  EXPECT_EQ(s().rflags(), kStatus | Fixed1 | TF | DF | NT | AC | ID);
  s().set_rflags(RF | VM | IF);
  s().system_flags &= static_cast<uint32_t>(~VM);
  ASSERT_TRUE(pushf(c(), 4, v));
  EXPECT_EQ(v, IF | Fixed1);
  ASSERT_TRUE(popf(c(), 0, 2));
  EXPECT_EQ(s().rflags(), IF | Fixed1);

  vm86(3);
  ASSERT_TRUE(popf(c(), all, 4));
  EXPECT_EQ(s().rflags(), kStatus | Fixed1 | TF | IF | DF | IOPL | NT | AC | ID | VM);
  vm86(0);
  EXPECT_TRUE(faulted(popf(c(), 0, 2), vec::GP, 0));
  EXPECT_TRUE(faulted(pushf(c(), 2, v), vec::GP, 0));
  s().cr4 = cr4::VME;
  ASSERT_TRUE(popf(c(), IF | CF, 2));
  EXPECT_EQ(s().rflags(), VM | VIF | CF | Fixed1);
  ASSERT_TRUE(pushf(c(), 2, v));
  EXPECT_EQ(v & 0xffff, IF | IOPL | CF | Fixed1);
  EXPECT_TRUE(faulted(popf(c(), TF, 2), vec::GP, 0));
}

TEST_F(ControlTest, cli_and_sti) {
  using namespace rflags;
  protected_mode();
  ASSERT_TRUE(sti(c()));
  EXPECT_EQ(s().interrupt_shadow, 1);
  clear_shadow();
  ASSERT_TRUE(sti(c()));
  EXPECT_EQ(s().interrupt_shadow, 0);  // IF was set already
  ASSERT_TRUE(cli(c()));
  EXPECT_EQ(s().interrupt_flag, 0);
  protected_mode(3);
  EXPECT_TRUE(faulted(cli(c()), vec::GP, 0));
  EXPECT_TRUE(faulted(sti(c()), vec::GP, 0));
  s().cr4 = cr4::PVI;
  ASSERT_TRUE(sti(c()));
  EXPECT_EQ(s().rflags(), VIF | Fixed1);
  ASSERT_TRUE(cli(c()));
  EXPECT_EQ(s().rflags(), Fixed1);
  s().system_flags = VIP;
  EXPECT_TRUE(faulted(sti(c()), vec::GP, 0));
}

}  // namespace
}  // namespace rhea::cpu::test
