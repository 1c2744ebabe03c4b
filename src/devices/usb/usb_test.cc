#include <gtest/gtest.h>

#include "async/fake_clock.h"
#include "base/endian.h"
#include "bus/pci/pci_bus.h"
#include "devices/usb/uhci.h"
#include "devices/usb/usb_keyboard.h"
#include "devices/usb/usb_pointer.h"

namespace rhea::devices {
namespace {

using bus::usb::Status;

constexpr uint32_t kFrameList = 0x1000, kQueue = 0x2000, kTds = 0x3000, kData = 0x4000;
constexpr unsigned kIn = 0x69, kOut = 0xe1, kSetup = 0x2d;

struct UsbTest : testing::Test, bus::IrqSink {
  UsbTest() {
    EXPECT_TRUE(memory.map_ram(Gpa{0}, *ram, 0, ram->size()));
    pci.attach(uhci, bus::pci::devfn_of(1, 2));
    uhci.reset(bus::ResetKind::Cold);
    uhci.config_write(4, 2, 5);  // I/O, bus master
  }
  void set_irq(unsigned, bool level) override { irq = level; }

  void put(uint32_t at, uint32_t value) { store_le<uint32_t>(ram->host() + at, value); }
  uint32_t get(uint32_t at) { return load_le<uint32_t>(ram->host() + at); }

  // What a driver does at the start, with a device in port 1.
  void start() {
    for (uint32_t i = 0; i < 1024; ++i) put(kFrameList + i * 4, kQueue | 2);
    put(kQueue, 1);
    put(kQueue + 4, 1);
    uhci.io_write(8, 4, kFrameList);
    uhci.io_write(4, 2, 15);
    uhci.io_write(16, 2, 0x200);
    uhci.io_write(16, 2, 0);
    uhci.io_write(16, 2, 4);
    uhci.io_write(0, 2, 1);
  }
  void td(unsigned index, unsigned pid, unsigned address, unsigned endpoint, uint32_t buffer, unsigned length,
          bool last) {
    uint32_t at = kTds + index * 16;
    put(at, last ? 1 : (at + 16) | 4);
    put(at + 4, 1u << 23 | 3u << 27 | (last ? 1u << 24 : 0) | 1u << 29);
    put(at + 8, ((length - 1) & 0x7ff) << 21 | endpoint << 15 | address << 8 | pid);
    put(at + 12, buffer);
  }
  void run() {
    put(kQueue + 4, kTds);
    clock.advance(3'000'000);
  }
  // A control transfer; how many bytes came or went, or nothing after a stall.
  std::optional<unsigned> control(unsigned address, std::array<uint8_t, 8> setup, unsigned length) {
    std::copy(setup.begin(), setup.end(), ram->host() + kData);
    bool in = (setup[0] & 0x80) != 0;
    td(0, kSetup, address, 0, kData, 8, false);
    td(1, in ? kIn : kOut, address, 0, kData + 64, length, length != 0);
    if (length != 0) {
      run();
      if ((get(kTds + 20) >> 22 & 1) != 0) return std::nullopt;
      unsigned moved = (get(kTds + 20) + 1) & 0x7ff;
      td(0, in ? kOut : kIn, address, 0, kData, 0, true);
      run();
      return moved;
    }
    td(1, kIn, address, 0, kData, 0, true);
    run();
    return (get(kTds + 20) >> 22 & 1) != 0 ? std::nullopt : std::optional(0u);
  }

  std::recursive_mutex lock;
  memory::AddressSpace memory{"memory", lock};
  memory::AddressSpace ports{"ports", lock};
  std::unique_ptr<memory::RamBlock> ram = *memory::RamBlock::create("ram", 0x100000);
  async::FakeClock clock;
  bus::pci::PciBus pci{{.memory = memory, .ports = ports, .intx = this}};
  display::InputHub hub;
  bool irq = false;
  Uhci uhci{{.clock = clock}};
};

TEST_F(UsbTest, a_port_shows_what_is_plugged_in) {
  UsbKeyboard keyboard({.clock = clock, .hub = &hub});
  EXPECT_EQ(uhci.io_read(16, 2), 0x80u);
  EXPECT_EQ(uhci.io_read(20, 2) & 0x80, 0u);  // drivers count ports by bit 7
  uhci.usb_bus().ports()[0]->attach(keyboard);
  EXPECT_EQ(uhci.io_read(16, 2), 0x93u);
  uhci.io_write(16, 2, 2);
  EXPECT_EQ(uhci.io_read(16, 2), 0x91u);
  uhci.usb_bus().ports()[0]->detach();
  EXPECT_EQ(uhci.io_read(16, 2), 0x82u);
}

TEST_F(UsbTest, a_keyboard_is_enumerated_and_typed_on) {
  UsbKeyboard keyboard({.clock = clock, .hub = &hub});
  uhci.usb_bus().ports()[0]->attach(keyboard);
  start();
  ASSERT_EQ(control(0, {0x80, 6, 0, 1, 0, 0, 18, 0}, 18), 18u);
  EXPECT_EQ(ram->host()[kData + 64 + 8], 0x27);  // vendor
  EXPECT_EQ(ram->host()[kData + 64 + 9], 0x06);
  ASSERT_EQ(control(0, {0, 5, 5, 0, 0, 0, 0, 0}, 0), 0u);
  EXPECT_EQ(keyboard.address(), 5);
  EXPECT_EQ(control(5, {0x80, 6, 9, 3, 0, 0, 18, 0}, 18), std::nullopt);  // no such string
  ASSERT_EQ(control(5, {0x80, 6, 0, 2, 0, 0, 255, 0}, 255), 34u);
  ASSERT_EQ(control(5, {0, 9, 1, 0, 0, 0, 0, 0}, 0), 0u);
  EXPECT_TRUE(keyboard.configured());

  td(0, kIn, 5, 1, kData, 8, true);
  run();
  EXPECT_NE(get(kTds + 4) & 1u << 23, 0u) << "nothing typed: still active";
  uhci.io_write(2, 2, 0x3f);
  EXPECT_FALSE(irq);
  hub.key(display::Key::ShiftR, true);
  hub.key(display::Key::A, true);
  clock.advance(2'000'000);
  EXPECT_TRUE(irq);
  EXPECT_EQ(ram->host()[kData], 0x20);
  uhci.io_write(2, 2, 1);
  EXPECT_FALSE(irq);
  td(0, kIn, 5, 1, kData, 8, true);
  run();
  EXPECT_EQ(ram->host()[kData], 0x20);
  EXPECT_EQ(ram->host()[kData + 2], 4);  // usage of A
}

TEST_F(UsbTest, indicators_reach_the_viewers) {
  UsbKeyboard keyboard({.clock = clock, .hub = &hub});
  uhci.usb_bus().ports()[0]->attach(keyboard);
  start();
  ASSERT_EQ(control(0, {0, 9, 1, 0, 0, 0, 0, 0}, 0), 0u);
  ram->host()[kData + 64] = 2;  // caps
  ASSERT_EQ(control(0, {0x21, 9, 0, 2, 0, 0, 1, 0}, 1), 1u);
  EXPECT_EQ(hub.indicators(), display::kCapsLed);
}

TEST_F(UsbTest, a_tablet_reports_places_and_clicks_in_order) {
  UsbPointer tablet({.clock = clock, .hub = &hub});
  uhci.usb_bus().ports()[1]->attach(tablet);
  const std::array<uint8_t, 8> configure = {0, 9, 1, 0, 0, 0, 0, 0};
  tablet.setup(configure);
  EXPECT_EQ(tablet.in(0, {}).status, Status::Ack);
  EXPECT_TRUE(hub.wants_places());
  hub.pointer_absolute(0x1234, 0x7fff);
  hub.sync();
  hub.button(display::Button::Left, true);
  hub.sync();
  hub.button(display::Button::Left, false);
  hub.sync();
  std::array<uint8_t, 8> report{};
  for (unsigned buttons : {0u, 1u, 0u}) {
    ASSERT_EQ(tablet.in(1, report).length, 6u);
    EXPECT_EQ(report[0], buttons);
    EXPECT_EQ(load_le<uint16_t>(&report[1]), 0x1234);
    EXPECT_EQ(load_le<uint16_t>(&report[3]), 0x7fff);
  }
  EXPECT_EQ(tablet.in(1, report).status, Status::Nak);
}

TEST_F(UsbTest, a_mouse_splits_long_ways) {
  UsbPointer mouse({.clock = clock, .hub = &hub, .form = UsbPointer::Form::Mouse});
  uhci.usb_bus().ports()[0]->attach(mouse);
  mouse.setup(std::array<uint8_t, 8>{0, 9, 1, 0, 0, 0, 0, 0});
  hub.pointer_relative(300, -5);
  hub.sync();
  std::array<uint8_t, 4> report{};
  int x = 0, y = 0;
  while (mouse.in(1, report).status == Status::Ack) {
    x += static_cast<int8_t>(report[1]);
    y += static_cast<int8_t>(report[2]);
  }
  EXPECT_EQ(x, 300);
  EXPECT_EQ(y, -5);
}

TEST_F(UsbTest, a_bad_descriptor_halts_the_controller) {
  UsbKeyboard keyboard({.clock = clock, .hub = &hub});
  uhci.usb_bus().ports()[0]->attach(keyboard);
  start();
  td(0, 0x11, 0, 0, kData, 8, true);
  run();
  EXPECT_EQ(uhci.io_read(2, 2) & 0x30, 0x30u);
  EXPECT_TRUE(irq);
}

TEST_F(UsbTest, a_device_that_is_not_there_fails_three_times) {
  UsbKeyboard keyboard({.clock = clock, .hub = &hub});
  uhci.usb_bus().ports()[0]->attach(keyboard);
  start();
  td(0, kIn, 77, 1, kData, 8, true);
  run();
  clock.advance(3'000'000);
  EXPECT_EQ(get(kTds + 4) >> 22 & 3, 1u);  // stalled, not active
  EXPECT_EQ(uhci.io_read(2, 2) & 2, 2u);
}

TEST_F(UsbTest, rings_of_queues_end_with_the_frame) {
  UsbKeyboard keyboard({.clock = clock, .hub = &hub});
  uhci.usb_bus().ports()[0]->attach(keyboard);
  start();
  put(kQueue, (kQueue + 16) | 2);
  put(kQueue + 16, kQueue | 2);
  put(kQueue + 20, 1);
  uint64_t before = uhci.io_read(6, 2);
  clock.advance(10'000'000);
  EXPECT_EQ(uhci.io_read(6, 2), before + 10);
}

}  // namespace
}  // namespace rhea::devices
