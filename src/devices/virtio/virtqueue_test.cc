#include "devices/virtio/virtqueue.h"

#include <gtest/gtest.h>

#include <cstring>
#include <random>

#include "devices/virtio/testing/ring_driver.h"

namespace rhea::devices::virtio {
namespace {

using testing::RingDriver;

constexpr uint16_t kSize = 8;
constexpr uint64_t kRing = 0x10000, kData = 0x40000, kRom = 0x200000;

class NoHandler final : public memory::IoHandler {
 public:
  uint64_t io_read(uint64_t, unsigned) override { return 0; }
  void io_write(uint64_t, unsigned, uint64_t) override { ++writes; }
  unsigned writes = 0;
};

class VirtqueueTest : public ::testing::TestWithParam<bool> {
 protected:
  VirtqueueTest() {
    EXPECT_TRUE(space.map_ram(Gpa{0}, *block, 0, block->size()).has_value());
    EXPECT_TRUE(space.map_io(Gpa{0x100000}, 0x1000, device).has_value());
    EXPECT_TRUE(space.map_ram(Gpa{kRom}, *block, 0, 0x1000, memory::RamAccess::ReadOnly).has_value());
    ram.attach(&space);
    start({.packed = GetParam(), .indirect = true});
  }
  void start(const Virtqueue::Mode& mode) {
    queue.reset();
    ASSERT_TRUE(queue.set_size(kSize, mode.packed));
    driver = RingDriver(*block, kRing, kSize, mode.packed);
    std::memset(block->host() + kRing, 0, 0x3000);
    queue.set_addresses(driver.addresses());
    queue.enable(mode);
  }
  // Puts one request straight through and returns whether it came out again.
  bool round() {
    const uint16_t id = driver.add({{kData, 4, false}, {kData + 16, 4, true}});
    const std::optional<Chain> chain = queue.pop();
    if (!chain || chain->id != id) return false;
    queue.push(*chain, 4);
    const auto used = driver.take();
    return used && used->id == id && used->written == 4;
  }

  std::recursive_mutex lock;
  memory::AddressSpace space{"memory", lock};
  std::unique_ptr<memory::RamBlock> block = *memory::RamBlock::create("ram", 0x100000);
  NoHandler device;
  GuestRam ram;
  unsigned interrupts = 0;
  std::vector<std::string> broken;
  Virtqueue queue{{.ram = ram,
                   .broken = [this](std::string_view why) { broken.emplace_back(why); },
                   .interrupt = [this] { ++interrupts; }},
                  256};
  RingDriver driver{*block, kRing, kSize, GetParam()};
};

TEST_P(VirtqueueTest, a_request_comes_with_its_buffers_and_returns) {
  driver.add({{kData, 16, false}, {kData + 0x100, 32, false}, {kData + 0x200, 64, true}});
  EXPECT_FALSE(queue.empty());
  const auto chain = queue.pop();
  ASSERT_TRUE(chain.has_value());
  EXPECT_EQ(chain->out.size(), 2u);
  EXPECT_EQ(chain->out_bytes, 48u);
  EXPECT_EQ(chain->in_bytes, 64u);
  EXPECT_EQ(chain->in.at(0).address, kData + 0x200);
  EXPECT_TRUE(queue.empty());
  EXPECT_EQ(queue.in_flight(), 1u);
  EXPECT_FALSE(driver.take().has_value());
  queue.push(*chain, 7);
  const auto used = driver.take();
  ASSERT_TRUE(used.has_value());
  EXPECT_EQ(used->id, chain->id);
  EXPECT_EQ(used->written, 7u);
  EXPECT_EQ(interrupts, 1u);
  EXPECT_EQ(queue.in_flight(), 0u);
}

TEST_P(VirtqueueTest, the_ring_goes_round_many_times) {
  for (int i = 0; i < 70'000; ++i) ASSERT_TRUE(round()) << i;
  EXPECT_TRUE(broken.empty());
}

TEST_P(VirtqueueTest, indirect_tables_hold_more_than_the_ring) {
  std::vector<testing::Buffer> many(20, {kData, 1, false});
  many.push_back({kData, 5, true});
  for (int i = 0; i < 20; ++i) {
    driver.add(many, true);
    const auto chain = queue.pop();
    ASSERT_TRUE(chain.has_value());
    EXPECT_EQ(chain->out.size(), 20u);
    EXPECT_EQ(chain->in_bytes, 5u);
    queue.push(*chain, 5);
    ASSERT_TRUE(driver.take().has_value());
  }
}

TEST_P(VirtqueueTest, requests_return_in_any_order_and_are_seen_after_flush) {
  driver.add({{kData, 1, true}});
  driver.add({{kData, 1, true}});
  const auto first = queue.pop();
  const auto second = queue.pop();
  queue.fill(*second, 1);
  queue.fill(*first, 1);
  EXPECT_FALSE(driver.take().has_value());
  queue.flush();
  EXPECT_EQ(driver.take()->id, second->id);
  EXPECT_EQ(driver.take()->id, first->id);
  EXPECT_EQ(interrupts, 1u);
}

TEST_P(VirtqueueTest, an_undone_pop_gives_the_request_again) {
  for (int i = 0; i < 30; ++i) {
    const uint16_t id = driver.add({{kData, 1, false}, {kData, 1, true}, {kData, 2, true}});
    const auto chain = queue.pop();
    ASSERT_TRUE(chain.has_value());
    queue.unpop(*chain);
    EXPECT_EQ(queue.in_flight(), 0u);
    const auto again = queue.pop();
    ASSERT_TRUE(again.has_value());
    EXPECT_EQ(again->id, id);
    queue.push(*again, 3);
    ASSERT_TRUE(driver.take().has_value());
  }
}

TEST_P(VirtqueueTest, event_index_interrupts_only_where_the_driver_waits) {
  start({.packed = GetParam(), .event_index = true});
  const auto wait_for = [this](unsigned used) {
    const uint64_t at = driver.addresses().driver;
    if (GetParam()) {
      const unsigned lap = used / kSize % 2;
      driver.put<uint16_t>(at, static_cast<uint16_t>(used % kSize | (lap == 0 ? 0x8000u : 0u)));
      driver.put<uint16_t>(at + 2, kEventDesc);
    } else {
      driver.put<uint16_t>(at + 4 + 2 * kSize, static_cast<uint16_t>(used));
    }
  };
  const auto one = [this] {
    driver.add({{kData, 1, true}});
    queue.push(*queue.pop(), 1);
    static_cast<void>(driver.take());
  };
  for (unsigned used = 0; used < 100; used += 3) {
    interrupts = 0;
    wait_for(used + 2);
    one();
    one();
    EXPECT_EQ(interrupts, 0u) << used;
    one();
    EXPECT_EQ(interrupts, 1u) << used;
  }
}

TEST_P(VirtqueueTest, enabling_kicks_tells_of_requests_that_came_meanwhile) {
  for (bool event_index : {false, true}) {
    start({.packed = GetParam(), .event_index = event_index});
    queue.disable_kicks();
    EXPECT_FALSE(queue.enable_kicks());
    queue.disable_kicks();
    driver.add({{kData, 1, true}});
    EXPECT_TRUE(queue.enable_kicks());
  }
}

TEST_P(VirtqueueTest, no_interrupt_when_the_driver_says_so) {
  const uint64_t at = driver.addresses().driver;
  driver.put<uint16_t>(GetParam() ? at + 2 : at, 1);
  EXPECT_TRUE(round());
  EXPECT_EQ(interrupts, 0u);
}

TEST_P(VirtqueueTest, buffers_are_ram_or_nothing) {
  const uint8_t bytes[8] = {1, 2, 3, 4, 5, 6, 7, 8};
  const std::vector<Segment> good = {{kData, 3}, {kData + 0x100, 100}};
  EXPECT_EQ(copy_to(ram, good, 1, bytes), 8u);
  EXPECT_EQ(block->host()[kData + 1], 1);
  EXPECT_EQ(block->host()[kData + 0x100], 3);
  EXPECT_EQ(copy_to(ram, good, 100, bytes), 3u);
  const std::vector<Segment> mmio = {{0x100000, 8}}, rom = {{kRom, 8}}, hole = {{0x180000, 8}},
                             wraps = {{~uint64_t{0} - 3, 8}}, runs_out = {{0xffffc, 8}};
  for (const auto& bad : {mmio, rom, hole, wraps, runs_out})
    EXPECT_FALSE(copy_to(ram, bad, 0, bytes).has_value());
  EXPECT_EQ(device.writes, 0u);
}

TEST_P(VirtqueueTest, hostile_rings_stop_the_queue_and_are_reported_once) {
  const bool packed = GetParam();
  const auto put = [&](unsigned slot, uint64_t address, uint32_t length, unsigned flags, uint16_t next) {
    const uint64_t at = kRing + slot * kDescBytes;
    if (packed)
      driver.put_descriptor(at, address, length, next, static_cast<uint16_t>(flags | driver.avail_flags()));
    else
      driver.put_descriptor(at, address, length, static_cast<uint16_t>(flags), next);
  };
  const std::vector<std::function<void()>> crimes = {
      [&] { put(0, kData, 0, 0, 0); },
      [&] {
        for (uint16_t i = 0; i < kSize; ++i)
          put(i, kData, 1, kDescNext, static_cast<uint16_t>((i + 1) % kSize));
      },
      [&] {
        put(0, kData, 1, kDescWrite | kDescNext, 1);
        put(1, kData, 1, 0, 0);
      },
      [&] { put(0, kData, 17, kDescIndirect, 0); },
      [&] { put(0, kData, 0, kDescIndirect, 0); },
      [&] { put(0, kData, 32, kDescIndirect | kDescNext, 1); },
      [&] { put(0, 0x180000, 32, kDescIndirect, 0); },
      [&] { put(0, ~uint64_t{0} - 15, 0xfffffff0, kDescIndirect, 0); },
      [&] {
        put(0, kRing, 16, kDescIndirect, 0);  // the table is the descriptor itself
      },
  };
  for (size_t i = 0; i < crimes.size(); ++i) {
    start({.packed = packed, .indirect = true});
    broken.clear();
    crimes[i]();
    if (!packed) driver.offer(0);
    EXPECT_FALSE(queue.pop().has_value()) << i;
    EXPECT_EQ(broken.size(), 1u) << i;
    EXPECT_FALSE(queue.pop().has_value()) << i;
    EXPECT_EQ(broken.size(), 1u) << i;
  }
}

TEST_P(VirtqueueTest, hostile_split_indices_stop_the_queue) {
  if (GetParam()) return;
  const uint64_t avail = driver.addresses().driver;
  driver.put<uint16_t>(avail + 2, kSize + 1);
  EXPECT_FALSE(queue.pop().has_value());
  EXPECT_EQ(broken.size(), 1u);
  start({});
  driver.put<uint16_t>(avail + 4, kSize);
  driver.put<uint16_t>(avail + 2, 1);
  EXPECT_FALSE(queue.pop().has_value());
  EXPECT_EQ(broken.size(), 2u);
  // The same descriptor over and over, never returned.
  start({});
  driver.put_descriptor(kRing, kData, 1, 0, 0);
  for (int i = 0; i < kSize; ++i) {
    driver.offer(0);
    EXPECT_TRUE(queue.pop().has_value());
  }
  driver.offer(0);
  EXPECT_FALSE(queue.pop().has_value());
  EXPECT_EQ(broken.size(), 3u);
}

TEST_P(VirtqueueTest, rings_that_are_no_ram_stop_the_queue) {
  for (uint64_t where : {uint64_t{0x100000}, uint64_t{0x180000}, ~uint64_t{0} - 40}) {
    queue.reset();
    queue.set_addresses({.desc = where, .driver = where, .device = where});
    queue.enable({.packed = GetParam()});
    broken.clear();
    EXPECT_FALSE(queue.pop().has_value());
    EXPECT_EQ(broken.size(), 1u);
  }
  EXPECT_EQ(device.writes, 0u);
}

TEST_P(VirtqueueTest, a_ring_of_noise_is_survived) {
  std::mt19937_64 random(7);
  for (int i = 0; i < 3000; ++i) {
    start({.packed = GetParam(), .event_index = i % 2 != 0, .indirect = true});
    for (uint64_t at = kRing; at < kRing + 0x3000; ++at)
      block->host()[at] = static_cast<uint8_t>(random() % 4 == 0 ? random() % 256 : random() % 8);
    std::vector<Chain> chains;
    while (auto chain = queue.pop()) {
      EXPECT_LE(chain->out.size() + chain->in.size(), kMaxSegments);
      chains.push_back(*chain);
      if (random() % 3 == 0) {
        queue.push(chains.back(), static_cast<uint32_t>(random()));
        chains.pop_back();
      }
      if (chains.size() > 100) break;
    }
    static_cast<void>(queue.enable_kicks());
  }
}

INSTANTIATE_TEST_SUITE_P(SplitAndPacked, VirtqueueTest, ::testing::Bool(),
                         [](const auto& p) { return p.param ? "packed" : "split"; });

}  // namespace
}  // namespace rhea::devices::virtio
