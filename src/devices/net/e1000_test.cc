#include "devices/net/e1000.h"

#include <gtest/gtest.h>

#include <numeric>

#include "async/fake_clock.h"
#include "base/endian.h"
#include "bus/pci/pci_bus.h"
#include "net/testing/frames.h"

namespace rhea::devices {
namespace {

using namespace e1000;
using net::testing::Sink;
using net::testing::tcp4_frame;

constexpr net::Mac kMac{0x52, 0x54, 0x00, 0x12, 0x34, 0x56};
constexpr uint64_t kBar = 0xf0000000, kTxRing = 0x1000, kRxRing = 0x2000, kBuffers = 0x10000;
constexpr unsigned kCount = 8;

struct E1000Test : ::testing::Test, bus::IrqSink {
  E1000Test() : ram(*memory::RamBlock::create("ram", 0x100000)) {
    EXPECT_TRUE(memory.map_ram(Gpa{0}, *ram, 0, ram->size()));
    bus.attach(nic, bus::pci::devfn_of(3, 0));
    nic.reset(bus::ResetKind::Cold);
    bus.config_write(0, 24, 0x10, 4, static_cast<uint32_t>(kBar));
    bus.config_write(0, 24, 4, 2, 7);
    net::Endpoint::connect(nic.end(), peer);
    write(kTdbal, kTxRing);
    write(kTdlen, kCount * 16);
    write(kRdbal, kRxRing);
    write(kRdlen, kCount * 16);
    for (unsigned i = 0; i < kCount; ++i) put64(kRxRing + i * 16, kBuffers + i * 0x1000);
    write(kRdt, kCount - 1);
    write(kTctl, kTctlEnable | kTctlPad);
    write(kRctl, kRctlEnable | kRctlBroadcast | kRctlStripCrc);
    read(kIcr);
  }
  void set_irq(unsigned, bool level) override { pin = level; }
  void write(uint32_t at, uint64_t value) { memory.store(kBar + at, 4, value); }
  uint32_t read(uint32_t at) { return static_cast<uint32_t>(memory.load(kBar + at, 4)); }
  void put64(uint64_t at, uint64_t value) { store_le<uint64_t>(ram->host() + at, value); }
  uint64_t get64(uint64_t at) { return load_le<uint64_t>(ram->host() + at); }
  uint8_t rx_status(unsigned i) { return ram->host()[kRxRing + i * 16 + 12]; }
  uint16_t rx_length(unsigned i) { return load_le<uint16_t>(ram->host() + kRxRing + i * 16 + 8); }
  void put_bytes(uint64_t at, const std::vector<uint8_t>& bytes) {
    std::copy(bytes.begin(), bytes.end(), ram->host() + at);
  }
  // Appends a descriptor to the transmit ring.
  void descriptor(uint64_t address, uint64_t rest) {
    put64(kTxRing + tail * 16, address);
    put64(kTxRing + tail * 16 + 8, rest);
    tail = (tail + 1) % kCount;
  }
  void legacy(uint64_t address, uint64_t length, uint8_t command) {
    descriptor(address, length | uint64_t{command} << 24);
  }
  void context(uint64_t first, uint8_t command, uint8_t header, uint16_t segment, uint32_t payload) {
    descriptor(first, payload | static_cast<uint64_t>(command | kTxExtended) << 24 | uint64_t{header} << 40 |
                          uint64_t{segment} << 48);
  }
  void data(uint64_t address, uint64_t length, uint8_t command, uint8_t options) {
    descriptor(address, length | uint64_t{1} << 20 | static_cast<uint64_t>(command | kTxExtended) << 24 |
                            uint64_t{options} << 40);
  }
  void go() { write(kTdt, tail); }
  static std::vector<uint8_t> frame_to(const net::Mac& mac, size_t size) {
    std::vector<uint8_t> frame(size);
    std::iota(frame.begin(), frame.end(), uint8_t{0});
    std::copy(mac.begin(), mac.end(), frame.begin());
    return frame;
  }

  std::recursive_mutex lock;
  memory::AddressSpace memory{"memory", lock};
  memory::AddressSpace ports{"ports", lock};
  std::unique_ptr<memory::RamBlock> ram;
  bus::pci::PciBus bus{{.memory = memory, .ports = ports, .intx = this}};
  async::FakeClock clock{0};
  Sink peer;
  E1000 nic{{.clock = clock, .mac = kMac}};
  bool pin = false;
  unsigned tail = 0;
};

TEST_F(E1000Test, eeprom_has_the_address_and_a_good_sum) {
  uint16_t sum = 0;
  for (uint32_t i = 0; i < 64; ++i) {
    write(kEerd, kEerdStart | i << 8);
    const uint32_t value = read(kEerd);
    EXPECT_TRUE(value & kEerdDone);
    if (i == 0) {
      EXPECT_EQ(value >> 16, 0x5452u);
    }
    sum = static_cast<uint16_t>(sum + (value >> 16));
  }
  EXPECT_EQ(sum, 0xbaba);
  EXPECT_EQ(read(kRal), 0x12005452u);
  EXPECT_EQ(read(kRal + 4), 0x80005634u);
}

TEST_F(E1000Test, eeprom_is_read_by_its_wires) {
  const auto clock_bit = [&](bool bit) {
    const uint32_t wires = kEecdSelect | (bit ? kEecdIn : 0);
    write(kEecd, wires);
    write(kEecd, wires | kEecdClock);
    const bool out = (read(kEecd) & kEecdOut) != 0;
    write(kEecd, wires);
    return out;
  };
  write(kEecd, kEecdSelect);
  for (const bool bit : {true, true, false}) clock_bit(bit);     // start, read
  for (int i = 5; i >= 0; --i) clock_bit((0x0e >> i & 1) != 0);  // the vendor's word
  uint16_t word = 0;
  for (int i = 0; i < 16; ++i) word = static_cast<uint16_t>(word << 1 | (clock_bit(false) ? 1 : 0));
  EXPECT_EQ(word, 0x8086);
}

TEST_F(E1000Test, phy_shows_the_link) {
  const auto phy = [&](uint32_t index) {
    write(kMdic, 2u << 26 | 1u << 21 | index << 16);
    return read(kMdic) & 0xffff;
  };
  EXPECT_EQ(phy(2), 0x0141u);
  EXPECT_EQ(phy(3), 0x0c20u);
  EXPECT_EQ(phy(1) & 0x24, 0x24u);
  EXPECT_TRUE(read(kStatus) & kStatusLinkUp);
  peer.set_link(false);
  EXPECT_EQ(phy(1) & 0x24, 0u);
  EXPECT_FALSE(read(kStatus) & kStatusLinkUp);
  EXPECT_TRUE(read(kIcr) & kIntLsc);
  write(kMdic, 2u << 26 | 5u << 21);
  EXPECT_TRUE(read(kMdic) & kMdicError);
}

TEST_F(E1000Test, legacy_descriptors_make_a_frame_of_pieces) {
  put_bytes(kBuffers, frame_to(kMac, 100));
  legacy(kBuffers, 40, 0);
  legacy(kBuffers + 40, 60, kTxEndOfPacket | kTxReportStatus);
  write(kIms, kIntTxdw);
  go();
  ASSERT_EQ(peer.got.size(), 1u);
  EXPECT_EQ(peer.got[0], frame_to(kMac, 100));
  EXPECT_EQ(ram->host()[kTxRing + 16 + 12] & kTxDone, kTxDone);
  EXPECT_EQ(ram->host()[kTxRing + 12], 0);
  EXPECT_TRUE(pin);
  EXPECT_EQ(read(kIcr), kIntTxdw | kIntTxqe);
  EXPECT_FALSE(pin);
  EXPECT_EQ(read(kTdh), 2u);
  EXPECT_EQ(read(kGptc), 1u);
  EXPECT_EQ(read(kGptc), 0u) << "cleared by reading";
}

TEST_F(E1000Test, short_frames_are_padded) {
  put_bytes(kBuffers, frame_to(kMac, 20));
  legacy(kBuffers, 20, kTxEndOfPacket);
  go();
  ASSERT_EQ(peer.got.size(), 1u);
  EXPECT_EQ(peer.got[0].size(), 60u);
  EXPECT_EQ(peer.got[0][20], 0);
}

TEST_F(E1000Test, checksums_are_inserted) {
  const std::vector<uint8_t> frame = tcp4_frame(100);
  put_bytes(kBuffers, frame);
  const net::Headers h = net::parse_headers(frame);
  store_be<uint16_t>(ram->host() + kBuffers + 50, net::pseudo_header_sum(frame, h, 120));
  context(14 | 24 << 8 | 33 << 16 | uint64_t{34} << 32 | uint64_t{50} << 40, 0, 0, 0, 0);
  data(kBuffers, frame.size(), kTxEndOfPacket, kTxOptionIp | kTxOptionTransport);
  go();
  ASSERT_EQ(peer.got.size(), 1u);
  EXPECT_EQ(net::verify_ip_checksum(peer.got[0], h), net::ChecksumState::Good);
  EXPECT_EQ(net::verify_transport_checksum(peer.got[0], h), net::ChecksumState::Good);
}

TEST_F(E1000Test, tcp_is_segmented) {
  std::vector<uint8_t> frame = tcp4_frame(4000);
  store_be<uint16_t>(&frame[16], 0);  // as drivers leave it
  put_bytes(kBuffers, frame);
  context(14 | 24 << 8 | 33 << 16 | uint64_t{34} << 32 | uint64_t{50} << 40,
          kTxContextTcp | kTxContextIp4 | kTxSegment, 54, 1460, 4000);
  data(kBuffers, 54, kTxSegment, kTxOptionIp | kTxOptionTransport);
  data(kBuffers + 54, 4000, kTxEndOfPacket | kTxSegment, 0);
  go();
  ASSERT_EQ(peer.got.size(), 3u);
  for (const auto& part : peer.got) {
    const net::Headers h = net::parse_headers(part);
    EXPECT_EQ(net::verify_ip_checksum(part, h), net::ChecksumState::Good);
    EXPECT_EQ(net::verify_transport_checksum(part, h), net::ChecksumState::Good);
  }
  EXPECT_EQ(peer.got[2].size(), 54u + 4000 - 2 * 1460);
}

TEST_F(E1000Test, vlan_tags_come_and_go) {
  write(kCtrl, kCtrlVlanMode);
  put_bytes(kBuffers, frame_to(kMac, 100));
  descriptor(kBuffers, 100 | uint64_t{0x41} << 24 | uint64_t{7} << 48);
  go();
  ASSERT_EQ(peer.got.size(), 1u);
  ASSERT_EQ(peer.got[0].size(), 104u);
  EXPECT_EQ(load_be<uint32_t>(&peer.got[0][12]), 0x81000007u);
  peer.send(peer.got[0]);
  EXPECT_EQ(rx_length(0), 100);
  EXPECT_TRUE(rx_status(0) & kRxVlan);
  EXPECT_EQ(load_le<uint16_t>(ram->host() + kRxRing + 14), 7);
}

TEST_F(E1000Test, frames_are_received_and_announced) {
  write(kIms, kIntRxt0);
  peer.send(frame_to(kMac, 1514));
  EXPECT_EQ(rx_status(0) & 3, kRxDone | kRxEndOfPacket);
  EXPECT_EQ(rx_length(0), 1514);
  EXPECT_EQ(std::vector<uint8_t>(ram->host() + kBuffers, ram->host() + kBuffers + 1514),
            frame_to(kMac, 1514));
  EXPECT_TRUE(pin);
  EXPECT_EQ(read(kRdh), 1u);
}

TEST_F(E1000Test, a_frame_may_fill_several_buffers) {
  write(kRctl, kRctlEnable | kRctlUnicast | kRctlLong | 3u << 16);  // 256 bytes each, FCS kept
  peer.send(frame_to(kMac, 600));
  EXPECT_EQ(rx_status(0) & 3, kRxDone);
  EXPECT_EQ(rx_status(2) & 3, kRxDone | kRxEndOfPacket);
  EXPECT_EQ(rx_length(2), 604 - 512);
}

TEST_F(E1000Test, filters_choose) {
  const auto comes = [&](const net::Mac& to) {
    const uint32_t before = read(kRdh);
    peer.send(frame_to(to, 100));
    write(kRdt, (read(kRdh) + kCount - 1) % kCount);
    return read(kRdh) != before;
  };
  const net::Mac other{0x52, 0, 0, 0, 0, 1}, group{0x01, 0, 0x5e, 0, 0, 0xfb};
  EXPECT_TRUE(comes(kMac));
  EXPECT_TRUE(comes({0xff, 0xff, 0xff, 0xff, 0xff, 0xff}));
  EXPECT_FALSE(comes(other));
  EXPECT_FALSE(comes(group));
  const unsigned hash = (0xfb00u >> 4) & 0xfff;
  write(kMta + hash / 32 * 4, 1u << hash % 32);
  EXPECT_TRUE(comes(group));
  write(kRctl, kRctlEnable | kRctlUnicast);
  EXPECT_TRUE(comes(other));
  EXPECT_FALSE(comes({0xff, 0xff, 0xff, 0xff, 0xff, 0xff}));
}

TEST_F(E1000Test, checksum_state_is_reported) {
  write(kRxcsum, kRxcsumIp | kRxcsumTransport);
  std::vector<uint8_t> frame = tcp4_frame(100);
  std::copy(kMac.begin(), kMac.end(), frame.begin());
  ASSERT_TRUE(net::complete_packet(frame));
  peer.send(frame);
  EXPECT_EQ(rx_status(0), kRxDone | kRxEndOfPacket | kRxIpChecked | kRxTransportChecked);
  EXPECT_EQ(ram->host()[kRxRing + 13], 0);
  frame[100] ^= 1;
  peer.send(frame);
  EXPECT_EQ(ram->host()[kRxRing + 16 + 13], kRxTransportError);
}

TEST_F(E1000Test, frames_wait_for_buffers) {
  for (unsigned i = 0; i < kCount + 3; ++i) peer.send(frame_to(kMac, 100 + i));
  EXPECT_EQ(nic.end().queued(), 4u);
  EXPECT_EQ(rx_status(kCount - 1), 0);
  write(kRdt, 3);
  EXPECT_EQ(nic.end().queued(), 0u);
  EXPECT_EQ(rx_length(2), 100 + kCount + 2);
}

TEST_F(E1000Test, interrupts_are_throttled) {
  write(kIms, kIntRxt0);
  write(kItr, 1000);
  peer.send(frame_to(kMac, 100));
  EXPECT_TRUE(pin);
  read(kIcr);
  EXPECT_FALSE(pin);
  peer.send(frame_to(kMac, 100));
  EXPECT_FALSE(pin);
  clock.advance(1000 * 256);
  EXPECT_TRUE(pin);
}

TEST_F(E1000Test, hostile_rings_are_survived) {
  put_bytes(kBuffers, frame_to(kMac, 100));
  legacy(kBuffers, 100, kTxEndOfPacket);
  write(kTdt, 0xffff);  // outside of the ring
  EXPECT_LE(peer.got.size(), 1u);
  write(kTdh, 0xfff0);
  write(kTdt, 1);
  write(kTdbal, 0xfffffff0);  // into nothing
  write(kTdbah, 0xffffffff);
  write(kTdt, 3);
  write(kRdh, 0xffff);
  peer.send(frame_to(kMac, 100));
  write(kRdlen, 0);
  peer.send(frame_to(kMac, 100));
}

TEST_F(E1000Test, dma_to_its_own_registers_does_not_recurse) {
  // A buffer that is the tail register itself, and frames that come in while one goes out.
  for (unsigned i = 0; i < kCount; ++i) put64(kRxRing + i * 16, kBar + kTdt);
  put_bytes(kBuffers, frame_to(kMac, 100));
  legacy(kBuffers, 100, kTxEndOfPacket);
  legacy(kBuffers, 100, kTxEndOfPacket);
  peer.send(frame_to(kMac, 64));
  go();
  write(kRctl, kRctlEnable | kRctlUnicast | kRctlLoopback);
  legacy(kBuffers, 100, kTxEndOfPacket);
  go();
}

TEST_F(E1000Test, a_segment_context_without_sense_sends_nothing) {
  put_bytes(kBuffers, tcp4_frame(1000));
  context(0xffffffffffffffff, kTxContextTcp | kTxSegment, 255, 0, 0xfffff);
  data(kBuffers, 1054, kTxEndOfPacket | kTxSegment, 0xff);
  data(kBuffers, 0xfffff, kTxEndOfPacket, 0xff);
  context(0xffffffffffffffff, 0, 255, 0, 0xfffff);
  data(kBuffers, 1054, kTxEndOfPacket, 0xff);
  go();
  EXPECT_LE(peer.got.size(), 1u);
}

}  // namespace
}  // namespace rhea::devices
