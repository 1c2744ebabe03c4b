#include "devices/virtio/virtio_blk.h"

#include <gtest/gtest.h>

#include <numeric>

#include "async/fake_clock.h"
#include "block/drive/drives.h"
#include "block/formats/raw.h"
#include "block/testing/memory_node.h"
#include "devices/virtio/testing/pci_guest.h"

namespace rhea::devices::virtio {
namespace {

constexpr uint32_t kIn = 0, kOut = 1, kFlush = 4, kGetId = 8, kDiscard = 11, kWriteZeroes = 13;
constexpr uint8_t kOk = 0, kIoError = 1, kUnsupported = 2, kUntouched = 0xee;
constexpr uint64_t kHeaderAt = testing::PciGuest::kScratch, kStatusAt = kHeaderAt + 16,
                   kData = kHeaderAt + 0x1000;

class VirtioBlkTest : public ::testing::Test {
 protected:
  static constexpr uint64_t kSize = uint64_t{4} << 20;

  void plug(VirtioBlk::Options options = {}, bool read_only = false) {
    block::OpenRequest request;
    auto node = std::make_unique<block::MemoryNode>(std::vector<uint8_t>(kSize));
    memory_node = node.get();
    request.file = std::move(node);
    request.flags.writable = true;
    std::shared_ptr<block::ImageNode> image = std::move(*block::raw_driver().open(request));
    block::DriveConfig config{.id = "d"};
    config.serial = "SN-0123";
    config.discard = true;
    drive = *drives.add(config, block::Medium{.image = image, .filename = "x", .read_only = read_only});
    auto made = VirtioBlk::create(*drive, options, {});
    ASSERT_TRUE(made.has_value());
    guest.plug(std::move(*made), {.vectors = 0});
    guest.start(guest.offered() & ~kRingPacked & ~kEventIdx, options.queues);
  }
  // Sends a request over queue `queue` and waits for its status.
  uint8_t request(uint32_t type, uint64_t sector, uint32_t out, uint32_t in, unsigned queue = 0) {
    guest.rings[queue]->put<uint32_t>(kHeaderAt, type);
    guest.rings[queue]->put<uint32_t>(kHeaderAt + 4, 0);
    guest.rings[queue]->put<uint64_t>(kHeaderAt + 8, sector);
    *guest.at(kStatusAt) = kUntouched;
    std::vector<testing::Buffer> buffers = {{kHeaderAt, 16, false}};
    if (out != 0) buffers.push_back({kData, out, false});
    if (in != 0) buffers.push_back({kData, in, true});
    buffers.push_back({kStatusAt, 1, true});
    guest.rings[queue]->add(buffers);
    guest.kick(queue);
    drives.wait_idle();
    used = guest.rings[queue]->take();
    return *guest.at(kStatusAt);
  }
  uint8_t range(uint32_t type, uint64_t sector, uint32_t sectors, uint32_t flags) {
    guest.rings[0]->put<uint64_t>(kData, sector);
    guest.rings[0]->put<uint32_t>(kData + 8, sectors);
    guest.rings[0]->put<uint32_t>(kData + 12, flags);
    return request(type, 0, 16, 0);
  }
  // A read of the disk's beginning into `data`, not yet told of.
  void add_read(const std::vector<testing::Buffer>& data) {
    guest.rings[0]->put<uint32_t>(kHeaderAt, kIn);
    guest.rings[0]->put<uint64_t>(kHeaderAt + 8, 0);
    *guest.at(kStatusAt) = kUntouched;
    std::vector<testing::Buffer> buffers = {{kHeaderAt, 16, false}};
    buffers.insert(buffers.end(), data.begin(), data.end());
    buffers.push_back({kStatusAt, 1, true});
    guest.rings[0]->add(buffers, true);
  }
  unsigned taken() {
    unsigned count = 0;
    while (guest.rings[0]->take()) ++count;
    return count;
  }
  std::span<uint8_t> data(size_t bytes) { return {guest.at(kData), bytes}; }

  testing::PciGuest guest;
  async::EventLoop loop{guest.lock};
  async::FakeClock clock{0};
  std::unique_lock<std::recursive_mutex> hold{guest.lock};
  block::Drives drives{{.loop = loop, .clock = clock}};
  block::MemoryNode* memory_node = nullptr;
  block::Drive* drive = nullptr;
  std::optional<testing::Used> used;

  ~VirtioBlkTest() override { guest.function.reset(); }
};

TEST_F(VirtioBlkTest, what_is_written_is_read) {
  plug({.queues = 2});
  std::iota(data(4096).begin(), data(4096).end(), uint8_t{3});
  const std::vector<uint8_t> sent(data(4096).begin(), data(4096).end());
  EXPECT_EQ(request(kOut, 16, 4096, 0), kOk);
  std::ranges::fill(data(4096), uint8_t{0});
  EXPECT_EQ(request(kIn, 16, 0, 4096, 1), kOk);
  EXPECT_TRUE(std::ranges::equal(data(4096), sent));
  ASSERT_TRUE(used.has_value());
  EXPECT_EQ(used->written, 4097u);
  EXPECT_EQ(request(kFlush, 0, 0, 0), kOk);
}

TEST_F(VirtioBlkTest, large_requests_are_done_in_pieces) {
  plug();
  // The same guest page over and over: 2.5 MiB in one request.
  std::ranges::fill(data(4096), uint8_t{0x5a});
  guest.rings[0]->put<uint32_t>(kHeaderAt, kOut);
  guest.rings[0]->put<uint64_t>(kHeaderAt + 8, 1);
  std::vector<testing::Buffer> buffers = {{kHeaderAt, 16, false}};
  for (int i = 0; i < 40; ++i) buffers.push_back({kData, 0x10000, false});
  buffers.push_back({kStatusAt, 1, true});
  *guest.at(kStatusAt) = kUntouched;
  guest.rings[0]->add(buffers, true);
  guest.kick(0);
  drives.wait_idle();
  EXPECT_EQ(*guest.at(kStatusAt), kOk);
  EXPECT_EQ(drive->stats().write.bytes, 40u * 0x10000);
}

// What the host's page cache has is in the guest's memory when the kick returns, with one interrupt for all.
TEST_F(VirtioBlkTest, cached_reads_end_inside_the_kick) {
  plug();
  std::iota(data(4096).begin(), data(4096).end(), uint8_t{9});
  const std::vector<uint8_t> sent(data(4096).begin(), data(4096).end());
  EXPECT_EQ(request(kOut, 0, 4096, 0), kOk);
  EXPECT_EQ(guest.common(0x1000, 1), 1u);  // ISR: read and cleared
  memory_node->cached = true;
  std::ranges::fill(data(8192), uint8_t{0});
  add_read({{kData, 512, true}, {kData + 4096, 1024, true}});
  add_read({{kData + 2048, 512, true}});
  guest.kick(0);
  EXPECT_EQ(*guest.at(kStatusAt), kOk);
  EXPECT_EQ(taken(), 2u);
  EXPECT_TRUE(guest.pin);
  EXPECT_TRUE(std::equal(sent.begin(), sent.begin() + 512, guest.at(kData)));
  EXPECT_TRUE(std::equal(sent.begin() + 512, sent.begin() + 1536, guest.at(kData + 4096)));
  EXPECT_TRUE(std::equal(sent.begin(), sent.begin() + 512, guest.at(kData + 2048)));
  EXPECT_EQ(*guest.at(kData + 512), 0);
  EXPECT_EQ(drive->stats().read.operations, 2u);
  EXPECT_EQ(drive->stats().read.bytes, 2048u);
  drives.wait_idle();
  EXPECT_EQ(taken(), 0u);
}

TEST_F(VirtioBlkTest, a_kick_reads_a_bounded_amount_at_once) {
  plug();
  memory_node->cached = true;
  const std::vector<testing::Buffer> megabyte(16, {kData, 0x10000, true});
  for (int i = 0; i < 3; ++i) add_read(megabyte);
  guest.kick(0);
  EXPECT_EQ(taken(), 2u);
  drives.wait_idle();
  EXPECT_EQ(taken(), 1u);
}

TEST_F(VirtioBlkTest, cached_data_outside_of_ram_fails_alone) {
  plug();
  memory_node->cached = true;
  add_read({{kData, 512, true}, {0xe0000000, 512, true}});
  guest.kick(0);
  drives.wait_idle();
  EXPECT_EQ(*guest.at(kStatusAt), kIoError);
  EXPECT_EQ(taken(), 1u);
  EXPECT_EQ(guest.status() & kNeedsReset, 0);
}

TEST_F(VirtioBlkTest, requests_outside_of_the_disk_fail) {
  plug({.logical_block = 4096, .physical_block = 4096});
  EXPECT_EQ(request(kIn, kSize / 512, 0, 4096), kIoError);
  EXPECT_EQ(request(kIn, kSize / 512 - 8, 0, 4096), kOk);
  EXPECT_EQ(request(kIn, ~uint64_t{0}, 0, 4096), kIoError);
  EXPECT_EQ(request(kIn, uint64_t{1} << 55, 0, 4096), kIoError);
  EXPECT_EQ(request(kIn, 1, 0, 4096), kIoError);  // not a block of this disk
  EXPECT_EQ(request(kIn, 0, 0, 512), kIoError);
  EXPECT_EQ(request(99, 0, 0, 512), kUnsupported);
}

TEST_F(VirtioBlkTest, the_serial_number_comes_without_a_terminator_if_long) {
  plug();
  EXPECT_EQ(request(kGetId, 0, 0, 20), kOk);
  EXPECT_STREQ(reinterpret_cast<const char*>(guest.at(kData)), "SN-0123");
}

TEST_F(VirtioBlkTest, ranges_are_zeroed_and_discarded) {
  plug();
  std::ranges::fill(data(1024), uint8_t{7});
  EXPECT_EQ(request(kOut, 4, 1024, 0), kOk);
  EXPECT_EQ(range(kWriteZeroes, 5, 1, 1), kOk);
  EXPECT_EQ(request(kIn, 4, 0, 1024), kOk);
  EXPECT_EQ(data(1024)[511], 7);
  EXPECT_EQ(data(1024)[512], 0);
  EXPECT_EQ(range(kDiscard, 0, 8, 0), kOk);
  EXPECT_EQ(range(kDiscard, 0, 8, 1), kUnsupported);
  EXPECT_EQ(range(kWriteZeroes, 0, 8, 2), kUnsupported);
  EXPECT_EQ(range(kDiscard, kSize / 512, 1, 0), kIoError);
  EXPECT_EQ(range(kDiscard, ~uint64_t{0}, 1, 0), kIoError);
  EXPECT_EQ(range(kDiscard, 0, 0xffffffff, 0), kIoError);
}

TEST_F(VirtioBlkTest, a_read_only_disk_says_so_and_refuses) {
  plug({}, true);
  EXPECT_NE(guest.offered() & feature(5), 0u);
  EXPECT_EQ(request(kOut, 0, 512, 0), kIoError);
  EXPECT_EQ(request(kIn, 0, 0, 512), kOk);
  EXPECT_EQ(request(kFlush, 0, 0, 0), kOk);
}

TEST_F(VirtioBlkTest, the_driver_turns_the_write_cache_off_and_on) {
  plug();
  EXPECT_EQ(guest.memory.load(guest.kBar + 0x2000 + 32, 1), 1u);
  guest.memory.store(guest.kBar + 0x2000 + 32, 1, 0);
  EXPECT_FALSE(drive->write_cache());
  EXPECT_EQ(guest.memory.load(guest.kBar + 0x2000 + 32, 1), 0u);
  guest.start(0, 1);  // neither WCE nor FLUSH
  EXPECT_FALSE(drive->write_cache());
  guest.start(feature(9), 1);
  EXPECT_TRUE(drive->write_cache());
}

TEST_F(VirtioBlkTest, a_reset_forgets_what_is_under_way) {
  plug();
  guest.rings[0]->put<uint32_t>(kHeaderAt, kIn);
  guest.rings[0]->put<uint64_t>(kHeaderAt + 8, 0);
  *guest.at(kStatusAt) = kUntouched;
  guest.rings[0]->add({{kHeaderAt, 16, false}, {kData, 512, true}, {kStatusAt, 1, true}});
  guest.kick(0);
  guest.common(kDeviceStatus, 1, 0);
  drives.wait_idle();
  EXPECT_EQ(*guest.at(kStatusAt), kUntouched);
  EXPECT_FALSE(guest.rings[0]->take().has_value());
}

TEST_F(VirtioBlkTest, requests_without_header_or_status_break_the_device) {
  plug();
  guest.rings[0]->add({{kHeaderAt, 15, false}, {kStatusAt, 1, true}});
  guest.kick(0);
  EXPECT_NE(guest.status() & kNeedsReset, 0);
  guest.start(0, 1);
  guest.rings[0]->add({{kHeaderAt, 16, false}});
  guest.kick(0);
  EXPECT_NE(guest.status() & kNeedsReset, 0);
  guest.start(0, 1);
  EXPECT_EQ(request(kIn, 0, 0, 512), kOk);
}

TEST_F(VirtioBlkTest, data_outside_of_ram_fails_alone) {
  plug();
  guest.rings[0]->put<uint32_t>(kHeaderAt, kIn);
  guest.rings[0]->put<uint64_t>(kHeaderAt + 8, 0);
  *guest.at(kStatusAt) = kUntouched;
  guest.rings[0]->add({{kHeaderAt, 16, false}, {0xe0000000, 512, true}, {kStatusAt, 1, true}});
  guest.kick(0);
  drives.wait_idle();
  EXPECT_EQ(*guest.at(kStatusAt), kIoError);
  EXPECT_EQ(guest.status() & kNeedsReset, 0);
}

TEST_F(VirtioBlkTest, what_is_buffered_is_bounded_and_goes_on) {
  plug({.queue_size = 256});
  // Eight entries of the test's ring, each a chain of 16 MiB in an indirect table; the device holds 64 MiB at
  // most, in pieces of one MiB each, so all are under way and all end.
  guest.rings[0]->put<uint32_t>(kHeaderAt, kIn);
  guest.rings[0]->put<uint64_t>(kHeaderAt + 8, 0);
  for (int i = 0; i < 8; ++i)
    guest.rings[0]->add({{kHeaderAt, 16, false}, {kData, 0x40000, true}, {kStatusAt, 1, true}}, true);
  guest.kick(0);
  drives.wait_idle();
  unsigned ended = 0;
  while (guest.rings[0]->take()) ++ended;
  EXPECT_EQ(ended, 8u);
}

TEST_F(VirtioBlkTest, a_drive_has_one_device_and_a_medium) {
  plug();
  EXPECT_FALSE(VirtioBlk::create(*drive, {}, {}).has_value());
  block::Drive* empty = *drives.add({.id = "e"}, {});
  EXPECT_FALSE(VirtioBlk::create(*empty, {}, {}).has_value());
}

}  // namespace
}  // namespace rhea::devices::virtio
