#include "machine/pc/pc_memory.h"

#include <gtest/gtest.h>

namespace rhea::machine {
namespace {

struct PcMemoryTest : testing::Test {
  void SetUp() override {
    bios.assign(256 << 10, 0);
    for (size_t i = 0; i < bios.size(); i++) bios[i] = static_cast<uint8_t>(i >> 12 | 0x80);
    auto made = PcMemory::create({.layout = RamLayout::of(64 << 20)}, bios, lock);
    ASSERT_TRUE(made) << made.error().message();
    m = std::move(*made);
  }
  std::recursive_mutex lock;
  std::vector<uint8_t> bios;
  std::unique_ptr<PcMemory> m;
};

TEST_F(PcMemoryTest, bios_is_at_both_tops_and_not_writable) {
  EXPECT_EQ(m->memory().load(0xfffffff0, 1), bios[bios.size() - 16]);
  EXPECT_EQ(m->memory().load(0xe0000, 1), bios[bios.size() - 0x20000]);
  EXPECT_EQ(m->memory().load(0xffff0, 1), bios[bios.size() - 16]);
  m->memory().store(0xffff0, 1, 0x11);
  EXPECT_EQ(m->memory().load(0xffff0, 1), bios[bios.size() - 16]);
}

TEST_F(PcMemoryTest, pam_switches_between_rom_and_ram) {
  m->pam_changed(0xf0000, 0x10000, false, true);
  m->memory().store(0xf1234, 2, 0xbeef);
  EXPECT_EQ(m->memory().load(0xf1234, 1), bios[bios.size() - 0x10000 + 0x1234]);
  m->pam_changed(0xf0000, 0x10000, true, false);
  EXPECT_EQ(m->memory().load(0xf1234, 2), 0xbeefu);
  m->memory().store(0xf1234, 2, 1);
  EXPECT_EQ(m->memory().load(0xf1234, 2), 0xbeefu);
  m->pam_changed(0xf0000, 0x10000, true, true);
  m->memory().store(0xf1234, 2, 1);
  EXPECT_EQ(m->smm_memory().load(0xf1234, 2), 1u);
  m->pam_changed(0xf0000, 0x10000, false, false);
  EXPECT_EQ(m->memory().load(0xf1234, 1), bios[bios.size() - 0x10000 + 0x1234]);
}

TEST_F(PcMemoryTest, smram_is_for_smm_unless_open) {
  m->smram_changed(true, true, false);
  m->memory().store(0xa8000, 4, 0x12345678);
  m->smram_changed(true, false, false);
  EXPECT_EQ(m->memory().load(0xa8000, 4), 0xffffffffu);
  EXPECT_EQ(m->smm_memory().load(0xa8000, 4), 0x12345678u);
  m->smram_changed(false, false, false);
  EXPECT_EQ(m->smm_memory().load(0xa8000, 4), 0xffffffffu);
}

TEST(RamLayout, large_memory_is_split_at_3_gib) {
  EXPECT_EQ(RamLayout::of(0xdfffffff).high, 0u);
  EXPECT_EQ(RamLayout::of(uint64_t{4} << 30).low, 0xc0000000u);
  EXPECT_EQ(RamLayout::of(uint64_t{4} << 30).high, 0x40000000u);
}

TEST(RamLayout, q35_leaves_room_for_configuration_space) {
  EXPECT_EQ(RamLayout::of(0xafffffff, Chipset::Q35).high, 0u);
  EXPECT_EQ(RamLayout::of(uint64_t{3} << 30, Chipset::Q35).low, 0x80000000u);
}

TEST_F(PcMemoryTest, tseg_is_hidden_from_all_but_smm_code) {
  m->memory().store(0x3f00000, 4, 0x12345678);
  m->tseg_changed(1 << 20);
  EXPECT_EQ(m->memory().load(0x3f00000, 4), 0xffffffffu);
  EXPECT_EQ(m->smm_memory().load(0x3f00000, 4), 0x12345678u);
  m->tseg_changed(0);
  EXPECT_EQ(m->memory().load(0x3f00000, 4), 0x12345678u);
}

}  // namespace
}  // namespace rhea::machine
