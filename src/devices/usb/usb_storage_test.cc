#include "devices/usb/usb_storage.h"

#include <gtest/gtest.h>

#include <numeric>

#include "async/fake_clock.h"
#include "base/endian.h"
#include "block/drive/drives.h"
#include "block/formats/raw.h"
#include "block/testing/memory_node.h"
#include "bus/usb/usb_port.h"
#include "devices/usb/usb_hub.h"

namespace rhea::devices {
namespace {

using bus::usb::Reply;
using bus::usb::Status;

struct Root : bus::usb::PortOwner {
  void attached(bus::usb::UsbPort&) override {}
  void detached(bus::usb::UsbPort&) override {}
  void ready(bus::usb::UsbPort&, bus::usb::UsbDevice&, unsigned) override { ++readies; }
  void wake_host(bus::usb::UsbPort&) override {}
  int readies = 0;
};

struct UsbStorageTest : ::testing::Test {
  static constexpr uint64_t kSize = uint64_t{1} << 20;

  void plug(bool read_only = false, bool cdrom = false) {
    std::vector<uint8_t> bytes(kSize);
    for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<uint8_t>(i * 7 + i / 512);
    content = bytes;
    block::OpenRequest request;
    request.file = std::make_unique<block::MemoryNode>(std::move(bytes));
    request.flags.writable = true;
    std::shared_ptr<block::ImageNode> image = std::move(*block::raw_driver().open(request));
    drive = *drives.add({.id = "d"}, block::Medium{.image = image, .filename = "x", .read_only = read_only});
    disk = std::make_unique<UsbStorage>(UsbStorage::Wiring{.drive = drive, .cdrom = cdrom, .serial = "SN1"});
    ASSERT_TRUE(disk->connect("u"));
    port.attach(*disk);
    disk->setup(std::array<uint8_t, 8>{0, 9, 1, 0, 0, 0, 0, 0});
    disk->in(0, {});
  }
  Reply send(uint32_t length, bool to_host, std::vector<uint8_t> command) {
    std::array<uint8_t, 31> wrapper{'U', 'S', 'B', 'C', 0x44, 0x33, 0x22, 0x11};
    store_le(&wrapper[8], length);
    wrapper[12] = to_host ? 0x80 : 0;
    wrapper[14] = static_cast<uint8_t>(command.size());
    std::copy(command.begin(), command.end(), wrapper.begin() + 15);
    return disk->out(2, wrapper);
  }
  Reply in(std::span<uint8_t> into) {
    for (int i = 0; i < 1000; ++i) {
      const Reply reply = disk->in(1, into);
      if (reply.status != Status::Nak) return reply;
      drives.wait_idle();
    }
    return {Status::Nak};
  }
  Reply out(std::span<const uint8_t> from) {
    for (int i = 0; i < 1000; ++i) {
      const Reply reply = disk->out(2, from);
      if (reply.status != Status::Nak) return reply;
      drives.wait_idle();
    }
    return {Status::Nak};
  }
  // The status wrapper: what was not moved, and how it went.
  std::pair<uint32_t, unsigned> status() {
    std::array<uint8_t, 64> wrapper{};
    const Reply reply = in(wrapper);
    EXPECT_EQ(reply.length, 13u);
    EXPECT_EQ(load_le<uint32_t>(&wrapper[0]), 0x53425355u);
    EXPECT_EQ(load_le<uint32_t>(&wrapper[4]), 0x11223344u);
    return {load_le<uint32_t>(&wrapper[8]), wrapper[12]};
  }
  // The condition that every device has after power-on.
  void settle() {
    send(0, false, {0, 0, 0, 0, 0, 0});
    EXPECT_EQ(status(), (std::pair<uint32_t, unsigned>(0, 1)));
    send(18, true, {3, 0, 0, 0, 18, 0});
    std::array<uint8_t, 18> sense{};
    in(sense);
    EXPECT_EQ(sense[2], 6);
    EXPECT_EQ(sense[12], 0x29);
    status();
  }
  unsigned sense_code() {
    send(18, true, {3, 0, 0, 0, 18, 0});
    std::array<uint8_t, 18> sense{};
    in(sense);
    status();
    return sense[12];
  }

  std::recursive_mutex lock;
  async::EventLoop loop{lock};
  async::FakeClock clock;
  block::Drives drives{{.loop = loop, .clock = clock}};
  Root root;
  bus::usb::UsbPort port{root, 0, "1", 15};
  block::Drive* drive = nullptr;
  std::unique_ptr<UsbStorage> disk;
  std::vector<uint8_t> content;
};

TEST_F(UsbStorageTest, says_what_it_is) {
  plug();
  send(36, true, {0x12, 0, 0, 0, 36, 0});
  std::array<uint8_t, 36> inquiry{};
  EXPECT_EQ(in(inquiry).length, 36u);
  EXPECT_EQ(std::string(inquiry.begin() + 8, inquiry.begin() + 32), "QEMU    QEMU HARDDISK   ");
  EXPECT_EQ(status().second, 0u);
  settle();
  send(8, true, {0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0});
  std::array<uint8_t, 8> capacity{};
  EXPECT_EQ(in(capacity).length, 8u);
  EXPECT_EQ(load_be<uint32_t>(&capacity[0]), kSize / 512 - 1);
  EXPECT_EQ(load_be<uint32_t>(&capacity[4]), 512u);
  EXPECT_EQ(status().second, 0u);
}

TEST_F(UsbStorageTest, reads_in_packets_of_any_size) {
  plug();
  settle();
  for (const size_t step : {size_t{64}, size_t{512}, size_t{4096}, size_t{40000}, size_t{100000}}) {
    const uint32_t bytes = 600 * 512;
    send(bytes, true, {0x28, 0, 0, 0, 0, 3, 0, 600 >> 8, 600 & 255, 0});
    std::vector<uint8_t> got;
    std::vector<uint8_t> packet(step);
    while (got.size() < bytes) {
      const auto part = std::span(packet).first(std::min<size_t>(step, bytes - got.size()));
      const Reply reply = in(part);
      ASSERT_EQ(reply.status, Status::Ack);
      ASSERT_EQ(reply.length, part.size());
      got.insert(got.end(), part.begin(), part.end());
    }
    EXPECT_TRUE(std::equal(got.begin(), got.end(), content.begin() + 3 * 512)) << step;
    EXPECT_EQ(status(), (std::pair<uint32_t, unsigned>(0, 0)));
  }
  EXPECT_GT(root.readies, 0);
}

TEST_F(UsbStorageTest, writes_and_flushes) {
  plug();
  settle();
  const uint32_t bytes = 500 * 512;
  std::vector<uint8_t> data(bytes);
  std::iota(data.begin(), data.end(), uint8_t{9});
  send(bytes, false, {0x2a, 8, 0, 0, 0, 10, 0, 500 >> 8, 500 & 255, 0});
  for (size_t at = 0; at < bytes; at += 1024)
    ASSERT_EQ(out(std::span(data).subspan(at, std::min<size_t>(1024, bytes - at))).status, Status::Ack);
  EXPECT_EQ(status(), (std::pair<uint32_t, unsigned>(0, 0)));
  send(0, false, {0x35, 0, 0, 0, 0, 0, 0, 0, 0, 0});
  EXPECT_EQ(status().second, 0u);
  std::vector<uint8_t> back(bytes);
  ASSERT_TRUE(drive->read_now(10 * 512, back));
  EXPECT_EQ(back, data);
}

TEST_F(UsbStorageTest, refuses_what_it_cannot) {
  plug(true);
  settle();
  send(512, true, {0x28, 0, 0, 0xff, 0, 0, 0, 0, 1, 0});
  std::array<uint8_t, 512> sector{};
  EXPECT_EQ(in(sector).length, 512u);  // filled up
  EXPECT_EQ(status(), (std::pair<uint32_t, unsigned>(512, 1)));
  EXPECT_EQ(sense_code(), 0x21u);
  send(512, false, {0x2a, 0, 0, 0, 0, 0, 0, 0, 1, 0});
  EXPECT_EQ(out(sector).status, Status::Ack);
  EXPECT_EQ(status().second, 1u);
  EXPECT_EQ(sense_code(), 0x27u);
  send(0, false, {0xee, 0, 0, 0, 0, 0});
  EXPECT_EQ(status().second, 1u);
  EXPECT_EQ(sense_code(), 0x20u);
}

TEST_F(UsbStorageTest, the_data_of_what_failed_is_filled_up_and_counted_as_missing) {
  plug();
  settle();
  send(64, true, {0x1a, 0, 0x0a, 0, 64, 0});  // a mode page that it has not
  std::array<uint8_t, 64> data{1, 2, 3};
  EXPECT_EQ(in(data).length, 64u);
  EXPECT_EQ(data[0], 0);
  EXPECT_EQ(status(), (std::pair<uint32_t, unsigned>(64, 1)));
  EXPECT_EQ(sense_code(), 0x24u);
}

TEST_F(UsbStorageTest, tells_its_geometry) {
  plug();
  settle();
  send(28, true, {0x1a, 8, 4, 0, 28, 0});
  std::array<uint8_t, 28> page{};
  EXPECT_EQ(in(page).length, 28u);
  EXPECT_EQ(status(), (std::pair<uint32_t, unsigned>(0, 0)));
  EXPECT_EQ(page[0], 27);
  EXPECT_EQ(page[4], 4);
  EXPECT_EQ(page[5], 22);
  EXPECT_EQ(page[8], 2);   // cylinders
  EXPECT_EQ(page[9], 16);  // heads
}

TEST_F(UsbStorageTest, a_cd_is_a_cd) {
  plug(true, true);
  send(36, true, {0x12, 0, 0, 0, 36, 0});
  std::array<uint8_t, 36> inquiry{};
  EXPECT_EQ(in(inquiry).length, 36u);
  EXPECT_EQ(inquiry[0], 5);
  EXPECT_EQ(inquiry[1], 0x80);
  status();
  send(8, true, {0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0});
  std::array<uint8_t, 8> capacity{};
  EXPECT_EQ(in(capacity).length, 8u);
  EXPECT_EQ(load_be<uint32_t>(&capacity[0]), kSize / 2048 - 1);
  EXPECT_EQ(load_be<uint32_t>(&capacity[4]), 2048u);
  EXPECT_EQ(status().second, 0u);
  send(4096, true, {0x28, 0, 0, 0, 0, 3, 0, 0, 2, 0});
  std::vector<uint8_t> data(4096);
  EXPECT_EQ(in(data).length, 4096u);
  EXPECT_TRUE(std::equal(data.begin(), data.end(), content.begin() + 3 * 2048));
  EXPECT_EQ(status(), (std::pair<uint32_t, unsigned>(0, 0)));
  send(512, false, {0x2a, 0, 0, 0, 0, 0, 0, 0, 1, 0});  // WRITE
  EXPECT_EQ(out(std::vector<uint8_t>(512)).status, Status::Ack);
  EXPECT_EQ(status().second, 1u);
  EXPECT_EQ(sense_code(), 0x20u);
  send(0, false, {0x1b, 0, 0, 0, 2, 0});  // eject
  EXPECT_EQ(status().second, 0u);
  EXPECT_TRUE(drive->tray_open());
}

TEST_F(UsbStorageTest, a_bad_wrapper_stalls_until_reset) {
  plug();
  std::array<uint8_t, 31> junk{};
  EXPECT_EQ(disk->out(2, junk).status, Status::Stall);
  EXPECT_EQ(send(0, false, {0, 0, 0, 0, 0, 0}).status, Status::Stall);
  disk->setup(std::array<uint8_t, 8>{0x21, 0xff, 0, 0, 0, 0, 0, 0});
  disk->in(0, {});
  for (const uint8_t endpoint : {uint8_t{0x81}, uint8_t{2}}) {
    disk->setup(std::array<uint8_t, 8>{2, 1, 0, 0, endpoint, 0, 0, 0});
    disk->in(0, {});
  }
  EXPECT_EQ(send(0, false, {0, 0, 0, 0, 0, 0}).status, Status::Ack);
}

TEST_F(UsbStorageTest, a_hub_shows_its_ports_and_reaches_behind_them) {
  bus::usb::UsbBus bus;
  bus.add(port);
  UsbHub hub;
  port.attach(hub);
  hub.join(bus);
  hub.setup(std::array<uint8_t, 8>{0, 5, 3, 0, 0, 0, 0, 0});
  hub.in(0, {});
  hub.setup(std::array<uint8_t, 8>{0, 9, 1, 0, 0, 0, 0, 0});
  hub.in(0, {});
  UsbStorage stick({});
  (*bus.choose(stick.speeds(), "1.2"))->attach(stick);
  std::array<uint8_t, 4> data{};
  EXPECT_EQ(hub.in(1, data).status, Status::Nak) << "no power yet";
  hub.setup(std::array<uint8_t, 8>{0x23, 3, 8, 0, 2, 0, 0, 0});
  hub.in(0, {});
  EXPECT_EQ(hub.in(1, data).status, Status::Ack);
  EXPECT_EQ(data[0], 4);
  EXPECT_EQ(hub.find(0), nullptr) << "not enabled yet";
  hub.setup(std::array<uint8_t, 8>{0x23, 3, 4, 0, 2, 0, 0, 0});
  hub.in(0, {});
  EXPECT_EQ(hub.find(0), &stick);
  EXPECT_EQ(hub.behind_port(2), &stick);
  hub.setup(std::array<uint8_t, 8>{0xa3, 0, 0, 0, 2, 0, 4, 0});
  EXPECT_EQ(hub.in(0, data).length, 4u);
  EXPECT_EQ(load_le<uint16_t>(&data[0]), 0x103);
  EXPECT_EQ(load_le<uint16_t>(&data[2]), 0x11);
}

}  // namespace
}  // namespace rhea::devices
