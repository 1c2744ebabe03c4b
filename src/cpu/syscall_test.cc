#include "cpu/cpuid.h"
#include "cpu/test_machine.h"

namespace rhea::cpu::test {
namespace {

using namespace rflags;

class SyscallTest : public CpuTest {
 protected:
  void SetUp() override { c().cpuid = &table_; }
  void setup(unsigned cpl) {
    long_mode(cpl);
    s().star = uint64_t{0x0023} << 48 | uint64_t{0x0008} << 32 | 0x1234;
    s().lstar = 0xffffffff81000000;
    s().cstar = 0xffffffff82000000;
    s().sfmask = IF | TF | AC | DF | NT;
  }
  CpuidTable table_;
};

TEST_F(SyscallTest, syscall_and_sysret_64) {
  setup(3);
  s().set_rflags(IF | CF | TF | ID);
  ASSERT_TRUE(syscall(c(), kCode + 2));
  EXPECT_EQ(s().cpl, 0);
  EXPECT_EQ(s().rip, 0xffffffff81000000u);
  EXPECT_EQ(s().gpr[RCX], kCode + 2);
  EXPECT_EQ(s().gpr[R11], IF | CF | TF | ID | Fixed1);
  EXPECT_EQ(s().rflags(), CF | ID | Fixed1);
  EXPECT_EQ(s().seg[CS].selector, 8);
  EXPECT_EQ(s().seg[CS].attr, 0xa09bu);
  EXPECT_EQ(s().seg[SS].selector, 0x10);
  EXPECT_EQ(s().seg[SS].attr, 0xc093u);
  EXPECT_EQ(told_, 1u);
  s().gpr[R11] |= RF | VM;
  ASSERT_TRUE(sysret(c(), 8));
  EXPECT_EQ(s().cpl, 3);
  EXPECT_EQ(s().rip, kCode + 2);
  EXPECT_EQ(s().seg[CS].selector, 0x33);
  EXPECT_EQ(s().seg[CS].attr, 0xa0fbu);
  EXPECT_EQ(s().seg[SS].selector, 0x2b);
  EXPECT_EQ(s().seg[SS].attr, 0xc0f3u);
  EXPECT_EQ(s().rflags(), IF | CF | TF | ID | Fixed1);
}

TEST_F(SyscallTest, sysret_to_compatibility_mode) {
  setup(0);
  s().gpr[RCX] = 0x1234567890;
  s().gpr[R11] = IF;
  ASSERT_TRUE(sysret(c(), 4));
  EXPECT_EQ(s().rip, 0x34567890u);
  EXPECT_EQ(s().seg[CS].selector, 0x23);
  EXPECT_EQ(s().seg[CS].attr, 0xc0fbu);
  EXPECT_EQ(s().seg[SS].selector, 0x2b);
}

TEST_F(SyscallTest, faults) {
  setup(3);
  EXPECT_TRUE(faulted(sysret(c(), 8), vec::GP, 0));
  s().efer &= ~efer::SCE;
  EXPECT_TRUE(faulted(syscall(c(), 2), vec::UD));
  EXPECT_TRUE(faulted(sysret(c(), 8), vec::UD));
  setup(0);
  s().gpr[RCX] = 0x800000000000;
  EXPECT_TRUE(faulted(sysret(c(), 8), vec::GP, 0));
  EXPECT_EQ(s().cpl, 0);
}

TEST_F(SyscallTest, outside_64_bit_mode_only_amd_has_it) {
  setup(3);
  enter(kCode3, kData3);
  EXPECT_TRUE(faulted(syscall(c(), kCode + 2), vec::UD));
  table_.vendor = Vendor::Amd;
  ASSERT_TRUE(syscall(c(), kCode + 2));
  EXPECT_EQ(s().rip, 0xffffffff82000000u);
  EXPECT_TRUE(s().code64());

  protected_mode(3);
  s().efer = efer::SCE;
  s().star = uint64_t{8} << 32 | 0x1234;
  s().interrupt_flag = 1;
  ASSERT_TRUE(syscall(c(), kCode + 2));
  EXPECT_EQ(s().rip, 0x1234u);
  EXPECT_EQ(s().interrupt_flag, 0);
  EXPECT_EQ(s().cpl, 0);
}

TEST_F(SyscallTest, sysenter_and_sysexit) {
  protected_mode(3);
  EXPECT_TRUE(faulted(sysenter(c(), 0), vec::GP, 0));
  s().sysenter_cs = 0x09;
  s().sysenter_esp = 0x9000;
  s().sysenter_eip = 0x40000;
  s().set_rflags(IF | CF);
  ASSERT_TRUE(sysenter(c(), 0));
  EXPECT_EQ(s().cpl, 0);
  EXPECT_EQ(s().seg[CS].selector, 8);
  EXPECT_EQ(s().seg[CS].attr, 0xc09bu);
  EXPECT_EQ(s().seg[SS].selector, 0x10);
  EXPECT_EQ(s().gpr[RSP], 0x9000u);
  EXPECT_EQ(s().rip, 0x40000u);
  EXPECT_EQ(s().rflags(), CF | Fixed1);
  s().gpr[RCX] = 0xa000;
  s().gpr[RDX] = 0x50000;
  ASSERT_TRUE(sysexit(c(), 4));
  EXPECT_EQ(s().cpl, 3);
  EXPECT_EQ(s().seg[CS].selector, 0x1b);
  EXPECT_EQ(s().seg[SS].selector, 0x23);
  EXPECT_EQ(s().gpr[RSP], 0xa000u);
  EXPECT_EQ(s().rip, 0x50000u);
  EXPECT_TRUE(faulted(sysexit(c(), 4), vec::GP, 0));
}

TEST_F(SyscallTest, sysexit_64) {
  setup(0);
  s().sysenter_cs = 8;
  s().gpr[RCX] = 0x7fff00000000;
  s().gpr[RDX] = 0x800000000000;
  EXPECT_TRUE(faulted(sysexit(c(), 8), vec::GP, 0));
  s().gpr[RDX] = 0x7fff11111111;
  ASSERT_TRUE(sysexit(c(), 8));
  EXPECT_EQ(s().seg[CS].selector, 0x2b);
  EXPECT_EQ(s().seg[SS].selector, 0x33);
  EXPECT_TRUE(s().code64());
  table_.vendor = Vendor::Amd;
  EXPECT_TRUE(faulted(sysenter(c(), 0), vec::UD));
}

}  // namespace
}  // namespace rhea::cpu::test
