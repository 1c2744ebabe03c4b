#include "devices/input/i8042.h"

#include <gtest/gtest.h>

#include <vector>

namespace rhea::devices {
namespace {

using display::Button;
using display::Key;

struct Lines : bus::IrqSink {
  bool level[16] = {};
  int rises[16] = {};
  void set_irq(unsigned pin, bool on) override {
    if (on && !level[pin]) ++rises[pin];
    level[pin] = on;
  }
};

class I8042Test : public testing::Test {
 protected:
  void command(uint8_t byte) { kbc.io_write(1, 1, byte); }
  void data(uint8_t byte) { kbc.io_write(0, 1, byte); }
  uint64_t status() { return kbc.io_read(1, 1); }
  std::vector<uint64_t> drain() {
    std::vector<uint64_t> bytes;
    while ((status() & 1) != 0) bytes.push_back(kbc.io_read(0, 1));
    return bytes;
  }
  using Bytes = std::vector<uint64_t>;
  Lines irq;
  bool a20 = true;
  int resets = 0;
  display::InputHub hub;
  I8042 kbc{{.irq1 = bus::IrqLine(irq, 1),
             .irq12 = bus::IrqLine(irq, 12),
             .a20 = [this](bool on) { a20 = on; },
             .reset = [this] { ++resets; },
             .input = &hub}};
};

TEST_F(I8042Test, self_test_sets_the_system_flag) {
  EXPECT_EQ(status() & 4, 0u);
  command(0xaa);
  EXPECT_EQ(drain(), Bytes{0x55});
  EXPECT_EQ(status() & 4, 4u);
  command(0xab);
  EXPECT_EQ(drain(), Bytes{0});
}

TEST_F(I8042Test, command_byte_is_read_and_written) {
  command(0x60);
  data(0x61);
  command(0x20);
  EXPECT_EQ(drain(), Bytes{0x61});
}

TEST_F(I8042Test, keyboard_resets_and_identifies_with_interrupts) {
  data(0xff);
  EXPECT_TRUE(irq.level[1]);
  EXPECT_EQ(drain(), (Bytes{0xfa, 0xaa}));
  EXPECT_EQ(irq.rises[1], 2);
  data(0xf2);
  EXPECT_EQ(drain(), (Bytes{0xfa, 0xab, 0x83}));
  data(0xf0);
  data(0x00);
  EXPECT_EQ(drain(), (Bytes{0xfa, 0xfa, 0x02}));
  data(0xed);
  data(0x05);
  EXPECT_EQ(kbc.keyboard().indicators(), 5);
  drain();
  data(0x17);
  EXPECT_EQ(drain(), Bytes{0xfe});
}

TEST_F(I8042Test, keys_are_translated_when_asked) {
  kbc.keyboard().key(Key::A, true);
  kbc.keyboard().key(Key::Up, false);
  EXPECT_EQ(drain(), (Bytes{0x1c, 0xe0, 0xf0, 0x75}));
  command(0x60);
  data(0x45);
  kbc.keyboard().key(Key::A, true);
  kbc.keyboard().key(Key::Up, false);
  EXPECT_EQ(drain(), (Bytes{0x1e, 0xe0, 0xc8}));
}

TEST_F(I8042Test, keys_in_each_scan_code_set) {
  const auto press_and_release = [&](Key key) {
    hub.key(key, true);
    hub.key(key, false);
    return drain();
  };
  const auto select = [&](uint8_t set) {
    data(0xf0);
    data(set);
    drain();
  };
  EXPECT_EQ(press_and_release(Key::Pause), (Bytes{0xe1, 0x14, 0x77, 0xe1, 0xf0, 0x14, 0xf0, 0x77}));
  EXPECT_EQ(press_and_release(Key::Print),
            (Bytes{0xe0, 0x12, 0xe0, 0x7c, 0xe0, 0xf0, 0x7c, 0xe0, 0xf0, 0x12}));
  select(1);
  EXPECT_EQ(press_and_release(Key::Delete), (Bytes{0xe0, 0x53, 0xe0, 0xd3}));
  EXPECT_EQ(press_and_release(Key::A), (Bytes{0x1e, 0x9e}));
  hub.key(Key::Alt, true);
  drain();
  EXPECT_EQ(press_and_release(Key::Print), (Bytes{0x54, 0xd4}));
  hub.key(Key::Alt, false);
  drain();
  select(3);
  EXPECT_EQ(press_and_release(Key::Delete), (Bytes{0x64}));
  EXPECT_EQ(press_and_release(Key::Shift), (Bytes{0x12, 0xf0, 0x12}));
  data(0xfc);
  data(0x64);
  drain();
  EXPECT_EQ(press_and_release(Key::Delete), (Bytes{0x64, 0xf0, 0x64}));
  data(0xf6);
  EXPECT_EQ(drain(), Bytes{0xfa});
  EXPECT_EQ(press_and_release(Key::A), (Bytes{0x1c, 0xf0, 0x1c}));
}

TEST_F(I8042Test, answers_go_ahead_of_keys_and_indicators_go_to_viewers) {
  command(0xad);
  hub.key(Key::A, true);
  data(0xed);
  EXPECT_EQ(kbc.io_read(0, 1), 0xfau);
  data(0x06);
  EXPECT_EQ(hub.indicators(), display::kNumLed | display::kCapsLed);
}

TEST_F(I8042Test, motion_that_is_not_fetched_adds_up) {
  command(0xd4);
  data(0xf4);
  drain();
  for (int i = 0; i < 100; ++i) {
    hub.pointer_relative(1, -1);
    hub.sync();
  }
  int x = 0, y = 0;
  const Bytes bytes = drain();
  ASSERT_EQ(bytes.size() % 3, 0u);
  EXPECT_LE(bytes.size(), 24u);
  for (size_t i = 0; i < bytes.size(); i += 3) {
    x += static_cast<int>(bytes[i + 1]);
    y += static_cast<int>(bytes[i + 2]);
  }
  EXPECT_EQ(x, 100);
  EXPECT_EQ(y, 100);
}

TEST_F(I8042Test, a_disabled_keyboard_waits) {
  command(0xad);
  kbc.keyboard().key(Key::A, true);
  EXPECT_EQ(drain(), Bytes{});
  command(0xae);
  EXPECT_EQ(drain(), Bytes{0x1c});
}

TEST_F(I8042Test, a_full_keyboard_loses_keys_not_order) {
  for (int i = 0; i < 100; ++i) kbc.keyboard().key(Key::A, true);
  kbc.keyboard().key(Key::A, false);
  const Bytes bytes = drain();
  EXPECT_LE(bytes.size(), 20u);
  EXPECT_EQ(bytes[bytes.size() - 2], 0xf0u) << "the release is there all the same";
}

TEST_F(I8042Test, mouse_unlocks_its_wheel_and_reports) {
  for (const int byte : {0xf3, 200, 0xf3, 100, 0xf3, 80, 0xf2}) {
    command(0xd4);
    data(static_cast<uint8_t>(byte));
  }
  EXPECT_TRUE(irq.level[12]);
  EXPECT_EQ(status() & 0x21, 0x21u);
  EXPECT_EQ(drain(), (Bytes{0xfa, 0xfa, 0xfa, 0xfa, 0xfa, 0xfa, 0xfa, 3}));
  command(0xd4);
  data(0xf4);
  drain();
  hub.pointer_relative(3, 2);
  hub.wheel(1);
  hub.button(Button::Left, true);
  hub.sync();
  EXPECT_EQ(drain(), (Bytes{0x29, 3, 0xfe, 1}));
  hub.button(Button::Left, false);
  hub.button(Button::Middle, true);
  hub.sync();
  EXPECT_EQ(drain(), (Bytes{8, 0, 0, 0, 0xc, 0, 0, 0}));
  command(0xd4);
  data(0xff);
  EXPECT_EQ(drain(), (Bytes{0xfa, 0xaa, 0}));
}

TEST_F(I8042Test, output_port_holds_a20_and_reset) {
  command(0xd0);
  EXPECT_EQ(drain(), Bytes{0xcf});
  command(0xd1);
  data(0xdd);
  EXPECT_FALSE(a20);
  command(0xd1);
  data(0xdf);
  EXPECT_TRUE(a20);
  command(0xfe);
  EXPECT_EQ(resets, 1);
}

TEST(Port92Test, fast_gate_and_reset) {
  bool a20 = false;
  int resets = 0;
  Port92 port({.a20 = [&](bool on) { a20 = on; }, .reset = [&] { ++resets; }});
  port.io_write(0, 1, 2);
  EXPECT_TRUE(a20);
  EXPECT_EQ(port.io_read(0, 1), 2u);
  port.io_write(0, 1, 3);
  EXPECT_EQ(resets, 1);
}

}  // namespace
}  // namespace rhea::devices
