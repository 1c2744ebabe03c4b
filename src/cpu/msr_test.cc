#include <gtest/gtest.h>

#include <memory>

#include "cpu/models/cpu_model.h"
#include "cpu/models/feature_info.h"
#include "cpu/registers.h"

namespace rhea::cpu {
namespace {

FeatureSet all_features() {
  FeatureSet set;
  for (unsigned i = 0; i < kFeatureCount; ++i) set.set(static_cast<Feature>(i));
  return set;
}

struct MsrTest : ::testing::Test {
  std::unique_ptr<CpuModel> model;
  Core core;
  CpuState& s = core.s;

  MsrTest() { use("Haswell"); }
  void use(const char* name) {
    ModelRequest r;
    r.text = name;
    r.supported = all_features();
    auto m = CpuModel::create(r);
    ASSERT_TRUE(m) << m.error().message();
    model = std::move(*m);
    model->attach(core, 0);
  }
  bool put(uint32_t index, uint64_t to) {
    core.fault = {};
    bool ok = write_msr(core, index, to);
    if (!ok) expect_gp();
    return ok;
  }
  bool get(uint32_t index) {
    core.fault = {};
    bool ok = read_msr(core, index, value);
    if (!ok) expect_gp();
    return ok;
  }
  void expect_gp() {
    EXPECT_EQ(core.fault.vector, vec::GP);
    EXPECT_TRUE(core.fault.has_code);
    EXPECT_EQ(core.fault.code, 0u);
  }
  uint64_t read(uint32_t index) {
    EXPECT_TRUE(get(index)) << std::hex << index;
    return value;
  }
  uint64_t value = 0;
};

TEST_F(MsrTest, unknown_registers_fault) {
  EXPECT_FALSE(get(0x12345));
  EXPECT_FALSE(put(0x12345, 0));
  EXPECT_FALSE(get(0x480));  // VMX
}

TEST_F(MsrTest, vendors_have_their_own) {
  EXPECT_TRUE(get(0x1a0));
  EXPECT_FALSE(get(0xc0010015));
  use("EPYC");
  EXPECT_FALSE(get(0x1a0));
  EXPECT_EQ(read(0xc0010015), 1u << 24);
  EXPECT_EQ(read(0xc0011029), 2u);
  EXPECT_EQ(read(0x8b), 0x01000065u);
}

TEST_F(MsrTest, features_gate_registers) {
  EXPECT_TRUE(put(0xc0000103, 7));
  EXPECT_TRUE(put(0x3b, 0) || !model->table().has(Feature::tsc_adjust));
  use("qemu32");
  EXPECT_FALSE(get(0xc0000103));
  EXPECT_FALSE(get(0xc0000082));
  EXPECT_FALSE(get(0x6e0));
  EXPECT_FALSE(get(0x48));
  use("Haswell-IBRS");
  EXPECT_TRUE(put(0x48, 3));
  EXPECT_FALSE(put(0x48, 8));
  EXPECT_FALSE(get(0x49));
  EXPECT_TRUE(put(0x49, 1));
}

TEST_F(MsrTest, addresses_must_be_canonical) {
  s.efer = efer::LMA;
  for (uint32_t index : {0x175u, 0x176u, 0xc0000082u, 0xc0000083u, 0xc0000100u, 0xc0000101u, 0xc0000102u}) {
    EXPECT_TRUE(put(index, 0xffff800000000000)) << std::hex << index;
    EXPECT_FALSE(put(index, 0x0000800000000000)) << std::hex << index;
    EXPECT_EQ(read(index), 0xffff800000000000) << std::hex << index;
  }
  EXPECT_EQ(s.seg[FS].base, 0xffff800000000000);
  EXPECT_EQ(s.seg[GS].base, 0xffff800000000000);
}

TEST_F(MsrTest, memory_types_are_checked) {
  EXPECT_TRUE(put(0x277, 0x0007040600070406));
  EXPECT_FALSE(put(0x277, 0x0007040600070402));
  EXPECT_TRUE(put(0x2ff, 0xc06));
  EXPECT_FALSE(put(0x2ff, 0xc07));
  EXPECT_FALSE(put(0x2ff, 0x1006));
  EXPECT_TRUE(put(0x26f, 0x0505050505050505));
  EXPECT_EQ(s.mtrr.fixed[10], 0x0505050505050505u);
  EXPECT_TRUE(put(0x250, 0x0606060606060606));
  EXPECT_EQ(s.mtrr.fixed[0], 0x0606060606060606u);
  EXPECT_TRUE(put(0x259, 1));
  EXPECT_EQ(s.mtrr.fixed[2], 1u);
  EXPECT_FALSE(put(0x268, 0x0700000000000000));
  EXPECT_TRUE(put(0x20f, 0xffc0000800));
  EXPECT_FALSE(put(0x20f, 0x1ffc0000800));  // beyond 40 bits
  EXPECT_FALSE(put(0x20e, 0x40000102));
  EXPECT_EQ(read(0xfe), 0x508u);
  EXPECT_FALSE(put(0xfe, 0x508));
}

TEST_F(MsrTest, machine_check_banks) {
  EXPECT_EQ(read(0x179), 0x10au);
  EXPECT_TRUE(put(0x17b, ~uint64_t{0}));
  EXPECT_TRUE(put(0x400, ~uint64_t{0}));
  EXPECT_TRUE(put(0x401, 0));
  EXPECT_FALSE(put(0x401, 1));
  EXPECT_TRUE(get(0x427));
  EXPECT_FALSE(get(0x428));
}

TEST_F(MsrTest, tsc_and_its_adjustment_move_together) {
  use("Haswell,+tsc-adjust");
  EXPECT_TRUE(put(0x10, 1000));
  uint64_t t0 = read(0x10);
  EXPECT_LT(t0, uint64_t{1} << 40);
  uint64_t adjust = read(0x3b);
  EXPECT_NE(adjust, 0u);
  EXPECT_TRUE(put(0x3b, adjust + (uint64_t{1} << 50)));
  EXPECT_GE(read(0x10), uint64_t{1} << 50);
  EXPECT_TRUE(put(0x3b, 0));
  EXPECT_EQ(s.tsc_offset, 0);
}

TEST_F(MsrTest, reserved_bits_of_plain_registers) {
  EXPECT_TRUE(put(0x174, 0xffff));
  EXPECT_FALSE(put(0x174, uint64_t{1} << 32));
  s.misc_enable = 1;
  EXPECT_EQ(read(0x1a0), 0x1801u);
  EXPECT_TRUE(put(0x1a0, 0x1800));
  EXPECT_FALSE(put(0x1a0, 0x1802));
  EXPECT_FALSE(put(0xc0000103, uint64_t{1} << 32));
  EXPECT_FALSE(get(0x9e));
  s.in_smm = 1;
  s.smbase = 0x30000;
  EXPECT_EQ(read(0x9e), 0x30000u);
}

TEST_F(MsrTest, microcode_revision_reads_as_loaded) {
  EXPECT_TRUE(put(0x8b, 0));
  EXPECT_EQ(read(0x8b), uint64_t{1} << 32);
  EXPECT_TRUE(put(0x79, 0x1234));
  EXPECT_FALSE(get(0x79));
}

TEST_F(MsrTest, without_an_apic_its_registers_fault) {
  EXPECT_FALSE(get(0x802));
  EXPECT_TRUE(get(0x1b));
}

}  // namespace
}  // namespace rhea::cpu
