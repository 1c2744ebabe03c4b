#include "devices/virtio/virtio_serial.h"

#include <gtest/gtest.h>

#include "devices/virtio/testing/pci_guest.h"

namespace rhea::devices::virtio {
namespace {

using testing::PciGuest;

struct Line final : chardev::Chardev {
  void attach(chardev::Frontend* f) override { front = f; }
  size_t write(std::span<const uint8_t> bytes) override {
    const size_t n = std::min(bytes.size(), room);
    out.append(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(n));
    room -= n;
    return n;
  }
  void resume_input() override { ++resumed; }
  chardev::Frontend* front = nullptr;
  std::string out;
  size_t room = SIZE_MAX;
  unsigned resumed = 0;
};

constexpr uint64_t kMultiport = feature(1);
constexpr unsigned kIn0 = 0, kOut0 = 1, kControlIn = 2, kControlOut = 3, kIn1 = 4, kOut1 = 5;

class VirtioSerialTest : public ::testing::Test {
 protected:
  VirtioSerialTest() {
    auto device = std::make_unique<VirtioSerial>(VirtioSerial::Options{.max_ports = 4}, RingOptions{});
    serial = device.get();
    guest.plug(std::move(device), {});
    EXPECT_TRUE(serial->plug(console, std::nullopt).has_value());
    EXPECT_TRUE(serial->plug(port, std::nullopt).has_value());
  }
  void say(uint32_t number, uint16_t event, uint16_t value) {
    guest.rings[kControlOut]->put<uint32_t>(PciGuest::kScratch, number);
    guest.rings[kControlOut]->put<uint16_t>(PciGuest::kScratch + 4, event);
    guest.rings[kControlOut]->put<uint16_t>(PciGuest::kScratch + 6, value);
    guest.rings[kControlOut]->add({{PciGuest::kScratch, 8, false}});
    guest.kick(kControlOut);
    EXPECT_TRUE(guest.rings[kControlOut]->take().has_value());
  }
  void offer_control_buffers(unsigned count) {
    for (unsigned i = 0; i < count; ++i)
      guest.rings[kControlIn]->add({{PciGuest::kScratch + 0x100 * (i + 1), 0x100, true}});
    guest.kick(kControlIn);
  }
  // "port event value text" of the next message.
  std::string heard() {
    const auto used = guest.rings[kControlIn]->take();
    if (!used) return "";
    auto& ring = *guest.rings[kControlIn];
    const uint64_t at = PciGuest::kScratch + 0x100 * (used->id + 1);
    std::string text = std::to_string(ring.get<uint32_t>(at)) + " " +
                       std::to_string(ring.get<uint16_t>(at + 4)) + " " +
                       std::to_string(ring.get<uint16_t>(at + 6));
    if (used->written > 8)
      text += " " + std::string(reinterpret_cast<const char*>(guest.at(at)) + 8, used->written - 8);
    return text;
  }
  void output(unsigned queue, std::string_view text) {
    std::copy(text.begin(), text.end(), guest.at(PciGuest::kScratch));
    guest.rings[queue]->add({{PciGuest::kScratch, static_cast<uint32_t>(text.size()), false}});
    guest.kick(queue);
  }

  PciGuest guest;
  Line tty, agent;
  VirtioPort console{{.console = true, .backend = &tty}};
  VirtioPort port{{.name = "org.rhea.agent", .backend = &agent}};
  VirtioSerial* serial = nullptr;
};

TEST_F(VirtioSerialTest, ports_are_numbered_and_told) {
  EXPECT_EQ(console.number(), 0u);
  EXPECT_EQ(port.number(), 1u);
  guest.start(kMultiport, 6);
  offer_control_buffers(8);
  say(0xffffffff, 0, 1);
  EXPECT_EQ(heard(), "0 1 1");
  EXPECT_EQ(heard(), "1 1 1");
  say(0, 3, 1);
  EXPECT_EQ(heard(), "0 4 1");
  EXPECT_EQ(heard(), "0 6 1");
  say(1, 3, 1);
  EXPECT_EQ(heard(), "1 7 1 org.rhea.agent");
  EXPECT_EQ(heard(), "1 6 1");
  say(77, 3, 1);
  EXPECT_EQ(heard(), "");
}

TEST_F(VirtioSerialTest, bytes_go_both_ways) {
  guest.start(kMultiport, 6);
  output(kOut0, "hello");
  EXPECT_EQ(tty.out, "hello");
  EXPECT_TRUE(guest.rings[kOut0]->take().has_value());
  EXPECT_EQ(agent.front->can_receive(), 0u);
  say(1, 6, 1);
  EXPECT_EQ(agent.front->can_receive(), 0u);
  guest.rings[kIn1]->add({{PciGuest::kScratch + 0x2000, 4, true}});
  guest.rings[kIn1]->add({{PciGuest::kScratch + 0x3000, 4, true}});
  agent.resumed = 0;
  guest.kick(kIn1);
  EXPECT_EQ(agent.resumed, 1u);
  EXPECT_EQ(agent.front->can_receive(), 4u);
  const uint8_t bytes[] = {'a', 'b', 'c', 'd', 'e', 'f'};
  agent.front->receive(bytes);
  EXPECT_EQ(guest.rings[kIn1]->take()->written, 4u);
  EXPECT_EQ(guest.rings[kIn1]->take()->written, 2u);
  EXPECT_EQ(*guest.at(PciGuest::kScratch + 0x3000), 'e');
}

TEST_F(VirtioSerialTest, a_slow_back_end_gets_everything_once) {
  guest.start(kMultiport, 6);
  tty.room = 3;
  output(kOut0, "0123456789");
  EXPECT_EQ(tty.out, "012");
  EXPECT_FALSE(guest.rings[kOut0]->take().has_value());
  tty.room = 4;
  tty.front->output_ready();
  EXPECT_EQ(tty.out, "0123456");
  tty.room = SIZE_MAX;
  tty.front->output_ready();
  EXPECT_EQ(tty.out, "0123456789");
  EXPECT_TRUE(guest.rings[kOut0]->take().has_value());
}

TEST_F(VirtioSerialTest, without_multiport_there_is_one_open_console) {
  guest.start(0, 2);
  guest.rings[kIn0]->add({{PciGuest::kScratch, 8, true}});
  EXPECT_EQ(tty.front->can_receive(), 8u);
  output(kOut0, "x");
  EXPECT_EQ(tty.out, "x");
}

TEST_F(VirtioSerialTest, emergency_write_needs_no_driver) {
  guest.memory.store(PciGuest::kBar + 0x2000 + 8, 4, 'E');
  EXPECT_EQ(tty.out, "E");
}

TEST_F(VirtioSerialTest, a_driver_that_only_asks_is_bounded) {
  guest.start(kMultiport, 6);
  for (int i = 0; i < 1000; ++i) say(0xffffffff, 0, 1);
  offer_control_buffers(8);
  EXPECT_EQ(heard(), "0 1 1");
}

TEST_F(VirtioSerialTest, bad_ports_are_refused) {
  VirtioPort second{{.name = "org.rhea.agent"}}, third{{}};
  EXPECT_FALSE(serial->plug(second, std::nullopt).has_value());
  EXPECT_FALSE(serial->plug(third, 0).has_value());
  EXPECT_FALSE(serial->plug(third, 1).has_value());
  EXPECT_FALSE(serial->plug(third, 4).has_value());
  EXPECT_TRUE(serial->plug(third, 2).has_value());
  VirtioPort fourth{{}}, fifth{{}};
  EXPECT_TRUE(serial->plug(fourth, std::nullopt).has_value());
  EXPECT_EQ(fourth.number(), 3u);
  EXPECT_FALSE(serial->plug(fifth, std::nullopt).has_value());
}

TEST_F(VirtioSerialTest, a_port_that_goes_is_told_and_lets_go_of_its_back_end) {
  Line line;
  guest.start(kMultiport, 6);
  offer_control_buffers(4);
  {
    VirtioPort late{{.backend = &line}};
    ASSERT_TRUE(serial->plug(late, std::nullopt).has_value());
    EXPECT_EQ(heard(), "2 1 1");
    EXPECT_NE(line.front, nullptr);
  }
  EXPECT_EQ(heard(), "2 2 1");
  EXPECT_EQ(line.front, nullptr);
}

}  // namespace
}  // namespace rhea::devices::virtio
