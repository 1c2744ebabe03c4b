#include "devices/virtio/virtio_net.h"

#include <gtest/gtest.h>

#include "async/fake_clock.h"
#include "devices/virtio/testing/pci_guest.h"
#include "net/testing/frames.h"

namespace rhea::devices::virtio {
namespace {

using net::testing::Sink;
using net::testing::tcp4_frame;
using testing::PciGuest;

constexpr uint64_t kCsum = feature(0), kGuestCsum = feature(1), kGuestTso4 = feature(7),
                   kGuestTso6 = feature(8), kHostTso4 = feature(11), kMrgRxbuf = feature(15),
                   kStatus = feature(16), kCtrlVq = feature(17), kCtrlRx = feature(18);
constexpr uint64_t kAt = PciGuest::kScratch, kHeader = 12;
constexpr net::Mac kMac{0x52, 0x54, 0x00, 0x12, 0x34, 0x56};

class VirtioNetTest : public ::testing::TestWithParam<bool> {
 protected:
  VirtioNetTest() {
    auto device = std::make_unique<VirtioNet>(clock, VirtioNet::Options{.mac = kMac},
                                              RingOptions{.packed = GetParam()});
    nic = device.get();
    guest.plug(std::move(device), {});
    net::Endpoint::connect(nic->end(), peer);
  }
  void start(uint64_t features) { guest.start(features, 3, GetParam()); }
  void send(const std::vector<uint8_t>& frame, std::vector<uint8_t> header = {}) {
    header.resize(kHeader);
    guest.put(kAt, header);
    guest.put(kAt + kHeader, frame);
    guest.rings[1]->add({{kAt, kHeader, false}, {kAt + kHeader, static_cast<uint32_t>(frame.size()), false}});
    guest.kick(1);
  }
  void offer(uint32_t length, unsigned count = 1) {
    for (unsigned i = 0; i < count; ++i)
      guest.rings[0]->add({{kAt + 0x20000 + buffers++ * 0x1000, length, true}});
    guest.kick(0);
  }
  std::vector<uint8_t> frame_to_us(size_t size) {
    std::vector<uint8_t> frame(size, 0x5a);
    std::copy(kMac.begin(), kMac.end(), frame.begin());
    return frame;
  }
  uint8_t command(uint8_t kind, uint8_t what, const std::vector<uint8_t>& data) {
    std::vector<uint8_t> bytes{kind, what};
    bytes.insert(bytes.end(), data.begin(), data.end());
    guest.put(kAt, bytes);
    *guest.at(kAt + 0x800) = 0xee;
    guest.rings[2]->add({{kAt, static_cast<uint32_t>(bytes.size()), false}, {kAt + 0x800, 1, true}});
    guest.kick(2);
    return *guest.at(kAt + 0x800);
  }
  async::FakeClock clock{0};
  PciGuest guest;
  Sink peer;
  VirtioNet* nic = nullptr;
  unsigned buffers = 0;
};

TEST_P(VirtioNetTest, frames_go_out) {
  start(kCsum | kHostTso4);
  send(tcp4_frame(100));
  ASSERT_EQ(peer.got.size(), 1u);
  EXPECT_EQ(peer.got[0], tcp4_frame(100));
  EXPECT_TRUE(guest.rings[1]->take());
}

TEST_P(VirtioNetTest, large_packets_are_cut_for_a_peer_that_needs_it) {
  start(kCsum | kHostTso4);
  const std::vector<uint8_t> header{1, 1, 54, 0, 0xb4, 0x05, 34, 0, 16, 0};
  send(tcp4_frame(4000), header);
  ASSERT_EQ(peer.got.size(), 3u);
  for (const auto& frame : peer.got)
    EXPECT_EQ(net::verify_transport_checksum(frame, net::parse_headers(frame)), net::ChecksumState::Good);
  peer.what.large = true;
  send(tcp4_frame(4000), header);
  EXPECT_EQ(peer.got.size(), 4u);
}

TEST_P(VirtioNetTest, descriptions_against_the_rules_send_nothing) {
  start(kCsum | kHostTso4);
  send(tcp4_frame(4000), {1, 1, 54, 0, 0, 0, 34, 0, 16, 0});          // segments of no size
  send(tcp4_frame(4000), {0, 1, 54, 0, 0xb4, 5, 34, 0, 16, 0});       // no checksum
  send(tcp4_frame(4000), {1, 4, 54, 0, 0xb4, 5, 34, 0, 16, 0});       // not negotiated
  send(tcp4_frame(100), {1, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff});  // outside
  EXPECT_TRUE(peer.got.empty());
  EXPECT_EQ(guest.status() & kNeedsReset, 0);
}

TEST_P(VirtioNetTest, frames_come_in_with_a_header) {
  start(kGuestCsum);
  offer(2048);
  peer.send(frame_to_us(100), {.checksum_good = true});
  const auto used = guest.rings[0]->take();
  ASSERT_TRUE(used);
  EXPECT_EQ(used->written, kHeader + 100);
  EXPECT_EQ(*guest.at(kAt + 0x20000), 2) << "the checksum is good";
  EXPECT_EQ(*guest.at(kAt + 0x20000 + 10), 1) << "one buffer";
  EXPECT_EQ(*guest.at(kAt + 0x20000 + kHeader), 0x52);
}

TEST_P(VirtioNetTest, large_frames_fill_several_buffers) {
  start(kGuestCsum | kGuestTso4 | kGuestTso6 | kMrgRxbuf);
  EXPECT_TRUE(nic->end().takes().large);
  offer(1024, 3);
  std::vector<uint8_t> frame = tcp4_frame(2500);
  peer.send(frame, {.checksum_wanted = true,
                    .checksum_start = 34,
                    .checksum_offset = 16,
                    .gso = net::Gso::Tcp4,
                    .segment_size = 1460});
  EXPECT_EQ(*guest.at(kAt + 0x20000 + 10), 3);
  EXPECT_EQ(*guest.at(kAt + 0x20000 + 1), 1);
  for (const uint32_t length : {1024u, 1024u, static_cast<uint32_t>(kHeader + 2554 - 2048)}) {
    const auto used = guest.rings[0]->take();
    ASSERT_TRUE(used);
    EXPECT_EQ(used->written, length);
  }
}

TEST_P(VirtioNetTest, a_frame_waits_for_all_of_its_buffers) {
  start(kMrgRxbuf);
  offer(1024);
  peer.send(frame_to_us(1500));
  peer.send(frame_to_us(200));
  EXPECT_FALSE(guest.rings[0]->take());
  offer(1024, 2);
  clock.advance(1'000'000);
  EXPECT_TRUE(guest.rings[0]->take());
  EXPECT_TRUE(guest.rings[0]->take());
  const auto last = guest.rings[0]->take();
  ASSERT_TRUE(last);
  EXPECT_EQ(last->written, kHeader + 200);
}

TEST_P(VirtioNetTest, a_frame_that_fits_nowhere_is_dropped) {
  start(0);
  offer(100, 2);
  peer.send(frame_to_us(1500));
  peer.send(frame_to_us(60));
  EXPECT_EQ(guest.rings[0]->take()->written, 0u);
  EXPECT_EQ(guest.rings[0]->take()->written, kHeader + 60);
}

TEST_P(VirtioNetTest, filters_follow_the_control_queue) {
  start(kCtrlVq | kCtrlRx);
  offer(2048, 4);
  std::vector<uint8_t> other = frame_to_us(100);
  other[5] ^= 1;
  peer.send(other);
  EXPECT_TRUE(guest.rings[0]->take()) << "promiscuous until told otherwise";
  EXPECT_EQ(command(0, 0, {0}), 0);
  peer.send(other);
  EXPECT_FALSE(guest.rings[0]->take());
  EXPECT_EQ(
      command(1, 0, {1, 0, 0, 0, other[0], other[1], other[2], other[3], other[4], other[5], 0, 0, 0, 0}), 0);
  peer.send(other);
  EXPECT_TRUE(guest.rings[0]->take());
  EXPECT_EQ(command(1, 0, {0xff, 0xff, 0xff, 0xff}), 1);
  EXPECT_EQ(command(9, 9, {}), 1);
}

TEST_P(VirtioNetTest, the_link_is_in_the_configuration) {
  start(kStatus);
  const auto link = [&] { return guest.memory.load(PciGuest::kBar + 0x2000 + 6, 2); };
  EXPECT_EQ(link(), 1u);
  peer.set_link(false);
  EXPECT_EQ(link(), 0u);
}

INSTANTIATE_TEST_SUITE_P(Rings, VirtioNetTest, ::testing::Bool());

}  // namespace
}  // namespace rhea::devices::virtio
