#include "memory/address_space.h"

#include <gtest/gtest.h>

#include <array>
#include <string>
#include <thread>

namespace rhea::memory {
namespace {

// Answers reads with the offset's low byte repeated upwards and records what it was asked.
class Probe final : public IoHandler {
 public:
  explicit Probe(IoTraits traits = {}) : traits_(traits) {}
  uint64_t io_read(uint64_t offset, unsigned size) override {
    log += "r" + std::to_string(offset) + "." + std::to_string(size) + " ";
    uint64_t value = 0;
    for (unsigned i = 0; i < size; ++i) value |= ((offset + i) & 0xff) << (i * 8);
    return value;
  }
  void io_write(uint64_t offset, unsigned size, uint64_t value) override {
    log += "w" + std::to_string(offset) + "." + std::to_string(size) + "=" + std::to_string(value) + " ";
  }
  IoTraits io_traits() const override { return traits_; }
  std::string log;

 private:
  IoTraits traits_;
};

struct AddressSpaceTest : testing::Test {
  std::recursive_mutex lock;
  AddressSpace space{"memory", lock};
  std::unique_ptr<RamBlock> ram = RamBlock::create("ram", 0x10000).value();
};

TEST_F(AddressSpaceTest, unassigned_reads_all_ones_and_drops_writes) {
  EXPECT_EQ(space.load(0x1000, 4), 0xffffffffu);
  EXPECT_EQ(space.load(0x1000, 8), ~uint64_t{0});
  space.store(0x1000, 4, 1);
  std::array<uint8_t, 3> bytes{};
  EXPECT_FALSE(space.read(0x1000, bytes));
  EXPECT_EQ(bytes[2], 0xff);
  EXPECT_FALSE(space.write(0x1000, bytes));
}

TEST_F(AddressSpaceTest, ram_is_stored_and_loaded_little_endian) {
  ASSERT_TRUE(space.map_ram(Gpa{0x1000}, *ram, 0, 0x1000));
  space.store(0x1002, 4, 0x11223344);
  EXPECT_EQ(space.load(0x1003, 2), 0x2233u);
  EXPECT_EQ(ram->host()[2], 0x44);
}

TEST_F(AddressSpaceTest, higher_priority_hides_and_disabling_uncovers) {
  Probe probe;
  ASSERT_TRUE(space.map_ram(Gpa{0}, *ram, 0, 0x10000));
  auto id = space.map_io(Gpa{0x2000}, 0x1000, probe, 0, 1).value();
  EXPECT_EQ(space.view()->ranges.size(), 3u);
  EXPECT_EQ(space.load(0x2004, 1), 4u);
  space.set_enabled(id, false);
  EXPECT_EQ(space.view()->ranges.size(), 1u);
  EXPECT_EQ(space.load(0x2004, 1), 0u);
}

TEST_F(AddressSpaceTest, later_wins_among_equals) {
  Probe probe;
  ASSERT_TRUE(space.map_io(Gpa{0}, 0x1000, probe));
  ASSERT_TRUE(space.map_ram(Gpa{0x800}, *ram, 0, 0x100));
  EXPECT_EQ(space.load(0x800, 1), 0u);
  EXPECT_EQ(space.load(0x7ff, 1), 0xffu);
  EXPECT_EQ(space.load(0x903, 1), 3u);
}

TEST_F(AddressSpaceTest, read_only_ram_drops_stores_and_dma) {
  ram->host()[0] = 7;
  auto id = space.map_ram(Gpa{0}, *ram, 0, 0x1000, RamAccess::ReadOnly).value();
  space.store(0, 1, 9);
  std::array<uint8_t, 2> bytes{9, 9};
  EXPECT_TRUE(space.write(0, bytes));
  EXPECT_EQ(ram->host()[0], 7);
  space.set_access(id, RamAccess::ReadWrite);
  space.store(0, 1, 9);
  EXPECT_EQ(ram->host()[0], 9);
}

TEST_F(AddressSpaceTest, wide_accesses_are_split_and_narrow_ones_widened) {
  Probe bytes({.min = 1, .max = 1});
  Probe words({.min = 4, .max = 4});
  ASSERT_TRUE(space.map_io(Gpa{0}, 0x100, bytes));
  ASSERT_TRUE(space.map_io(Gpa{0x100}, 0x100, words));
  EXPECT_EQ(space.load(0x10, 2), 0x1110u);
  EXPECT_EQ(bytes.log, "r16.1 r17.1 ");
  EXPECT_EQ(space.load(0x106, 1), 6u);
  EXPECT_EQ(space.load(0x103, 2), 0x0403u);
  EXPECT_EQ(words.log, "r4.4 r0.4 r4.4 ");
  words.log.clear();
  space.store(0x102, 2, 0x0201);
  space.store(0x108, 8, 0x0000000200000001);
  EXPECT_EQ(words.log, "w0.4=33619968 w8.4=1 w12.4=2 ");
}

TEST_F(AddressSpaceTest, runs_are_accesses_one_after_the_other) {
  Probe probe;
  ASSERT_TRUE(space.map_ram(Gpa{0x1000}, *ram, 0, 0x1000));
  ASSERT_TRUE(space.map_io(Gpa{0x100}, 8, probe));
  std::array<uint8_t, 6> bytes{};
  space.load_run(0x102, 2, bytes);
  EXPECT_EQ(bytes, (std::array<uint8_t, 6>{2, 3, 2, 3, 2, 3}));
  space.store_run(0x104, 2, std::array<uint8_t, 4>{1, 0, 2, 0});
  EXPECT_EQ(probe.log, "r2.2 r2.2 r2.2 w4.2=1 w4.2=2 ");
  space.load_run(0x200, 2, bytes);  // nothing is there
  EXPECT_EQ(bytes[5], 0xff);
  space.store_run(0x1000, 2, std::array<uint8_t, 4>{1, 2, 3, 4});
  EXPECT_EQ(space.load(0x1000, 2), 0x0403u);
}

TEST_F(AddressSpaceTest, access_across_a_boundary_reaches_both_sides) {
  Probe probe({.min = 1, .max = 8});
  ASSERT_TRUE(space.map_ram(Gpa{0}, *ram, 0, 0x1000));
  ASSERT_TRUE(space.map_io(Gpa{0x1000}, 0x10, probe));
  space.store(0xffe, 4, 0xaabbccdd);
  EXPECT_EQ(ram->host()[0xffe], 0xdd);
  EXPECT_EQ(probe.log, "w0.1=187 w1.1=170 ");
  EXPECT_EQ(space.load(0xffe, 4), 0x0100ccddu);
}

TEST_F(AddressSpaceTest, dma_uses_the_widest_accesses) {
  Probe probe({.min = 1, .max = 8});
  ASSERT_TRUE(space.map_io(Gpa{0}, 0x100, probe));
  std::array<uint8_t, 11> bytes{};
  EXPECT_TRUE(space.read(0, bytes));
  EXPECT_EQ(probe.log, "r0.8 r8.2 r10.1 ");
  EXPECT_EQ(bytes[10], 10);
}

TEST_F(AddressSpaceTest, batch_swaps_the_view_once) {
  int changes = 0;
  space.on_change([&] { ++changes; });
  uint64_t before = space.generation();
  space.begin();
  auto id = space.map_ram(Gpa{0}, *ram, 0, 0x1000).value();
  space.move(id, Gpa{0x4000});
  EXPECT_EQ(space.generation(), before);
  EXPECT_EQ(space.load(0, 1), 0xffu);
  space.commit();
  EXPECT_EQ(changes, 1);
  EXPECT_NE(space.generation(), before);
  EXPECT_EQ(space.load(0x4000, 1), 0u);
}

TEST_F(AddressSpaceTest, contiguous_slices_of_one_block_are_joined) {
  ASSERT_TRUE(space.map_ram(Gpa{0}, *ram, 0, 0x1000));
  ASSERT_TRUE(space.map_ram(Gpa{0x1000}, *ram, 0x1000, 0x1000));
  ASSERT_TRUE(space.map_ram(Gpa{0x2000}, *ram, 0, 0x1000));
  EXPECT_EQ(space.view()->ranges.size(), 2u);
}

TEST_F(AddressSpaceTest, region_beyond_the_end_is_out_of_range) {
  EXPECT_FALSE(space.map_ram(Gpa{0}, *ram, 0xf000, 0x2000));
  EXPECT_FALSE(space.map_ram(Gpa{~uint64_t{0} - 0xfff}, *ram, 0, 0x2000));
  auto id = space.map_ram(Gpa{0}, *ram, 0, 0x2000).value();
  space.move(id, Gpa{~uint64_t{0} - 0xfff});
  EXPECT_TRUE(space.view()->ranges.empty());
}

// A handler that changes the map and makes accesses while it is being called.
class Remapper final : public IoHandler {
 public:
  explicit Remapper(AddressSpace& space) : space_(space) {}
  uint64_t io_read(uint64_t, unsigned) override {
    space_.set_enabled(id, false);
    return space_.load(0x8000, 1);
  }
  void io_write(uint64_t, unsigned, uint64_t) override {}
  MapId id{};

 private:
  AddressSpace& space_;
};

TEST_F(AddressSpaceTest, handler_may_remap_itself_and_do_dma) {
  Remapper remapper(space);
  ASSERT_TRUE(space.map_ram(Gpa{0x8000}, *ram, 0, 0x1000));
  remapper.id = space.map_io(Gpa{0}, 8, remapper).value();
  ram->host()[0] = 5;
  EXPECT_EQ(space.load(0, 1), 5u);
  EXPECT_EQ(space.load(0, 1), 0xffu);
}

TEST_F(AddressSpaceTest, locked_handler_waits_and_unlocked_one_does_not) {
  Probe open({.min = 1, .max = 4, .locking = Locking::None});
  ASSERT_TRUE(space.map_io(Gpa{0}, 8, open));
  std::scoped_lock hold(lock);
  std::thread([&] { EXPECT_EQ(space.load(1, 1), 1u); }).join();
}

class Listener final : public CodeListener {
 public:
  void code_written(RamBlock&, uint64_t offset, uint64_t length) override {
    ++calls;
    last_offset = offset;
    last_length = length;
  }
  int calls = 0;
  uint64_t last_offset = 0, last_length = 0;
};

TEST_F(AddressSpaceTest, dma_into_marked_pages_tells_the_listener) {
  Listener listener;
  RamBlock::set_code_listener(&listener);
  ASSERT_TRUE(space.map_ram(Gpa{0x10000}, *ram, 0, 0x10000));
  std::array<uint8_t, 0x1800> bytes{};
  EXPECT_TRUE(space.write(0x10000, bytes));
  EXPECT_EQ(listener.calls, 0);
  ram->set_page_has_code(1, true);
  EXPECT_TRUE(space.write(0x10000, bytes));
  EXPECT_EQ(listener.calls, 1);
  EXPECT_EQ(listener.last_offset, 0u);
  EXPECT_EQ(listener.last_length, 0x1800u);
  space.store(0x11004, 4, 1);
  EXPECT_EQ(listener.calls, 2);
  EXPECT_TRUE(space.write(0x12000, bytes));
  EXPECT_EQ(listener.calls, 2);
  RamBlock::set_code_listener(nullptr);
}

TEST(RamBlock, impossible_sizes_are_refused) {
  EXPECT_EQ(RamBlock::create("ram", 0).error().kind(), ErrorKind::Invalid);
  EXPECT_EQ(RamBlock::create("ram", uint64_t{1} << 60).error().kind(), ErrorKind::NoSpace);
}

TEST(RamBlock, size_is_rounded_up_and_memory_is_zero) {
  auto block = RamBlock::create("ram", 5000).value();
  EXPECT_EQ(block->size(), 8192u);
  EXPECT_EQ(block->host()[8191], 0);
  EXPECT_FALSE(block->page_has_code(1));
}

}  // namespace
}  // namespace rhea::memory
