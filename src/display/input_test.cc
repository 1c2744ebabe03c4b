#include "display/input.h"

#include <gtest/gtest.h>

#include "async/fake_clock.h"
#include "display/key_sender.h"

namespace rhea::display {
namespace {

struct Keys : KeyboardSink {
  std::string seen;
  std::string_view input_name() const override { return "keys"; }
  void key(Key key, bool down) override { seen += (down ? "+" : "-") + std::string(key_name(key)); }
};

struct Mouse : PointerSink {
  explicit Mouse(bool p) : places(p) {}
  bool places;
  std::string seen;
  std::string_view input_name() const override { return places ? "tablet" : "mouse"; }
  bool takes_places() const override { return places; }
  void motion(int dx, int dy) override { seen += "m" + std::to_string(dx) + "," + std::to_string(dy); }
  void place(int x, int y) override { seen += "p" + std::to_string(x) + "," + std::to_string(y); }
  void button(Button button, bool down) override {
    seen += (down ? "b" : "r") + std::to_string(static_cast<int>(button));
  }
  void wheel(int dz, int) override { seen += "w" + std::to_string(dz); }
  void sync() override { seen += ";"; }
};

struct Listener : InputListener {
  unsigned leds = 0;
  int changes = 0;
  void indicators_changed(unsigned l) override { leds = l; }
  void pointer_kind_changed(bool) override { ++changes; }
};

TEST(Key, names_and_codes_go_both_ways) {
  EXPECT_EQ(key_by_name("ret"), Key::Ret);
  EXPECT_EQ(key_by_name("nonsense"), std::nullopt);
  EXPECT_EQ(key_by_word("<"), Key::Less);
  EXPECT_EQ(key_by_word("0x1c"), Key::Ret);
  EXPECT_EQ(key_by_word("0x"), std::nullopt);
  EXPECT_EQ(key_by_word("0x1cz"), std::nullopt);
  EXPECT_EQ(key_by_qnum(0x37), Key::KpMultiply);
  EXPECT_EQ(key_by_qnum(0), std::nullopt);
  EXPECT_EQ(key_by_usb(0x28), Key::Ret);
  EXPECT_EQ(key_codes(Key::Up).set1(), 0xe048);
  EXPECT_EQ(key_codes(static_cast<Key>(255)).key, Key::Unmapped);
}

TEST(InputHub, last_activated_keyboard_gets_the_keys) {
  InputHub hub;
  Keys ps2, usb;
  hub.key(Key::A, true);
  hub.add(ps2);
  hub.add(usb);
  hub.key(Key::A, true);
  EXPECT_EQ(ps2.seen, "+a");
  EXPECT_TRUE(hub.is_down(Key::A));
  hub.activate(usb);
  hub.key(Key::A, false);
  EXPECT_EQ(usb.seen, "-a");
  hub.deactivate(usb);
  hub.set_running(false);
  hub.key(Key::B, true);
  hub.set_running(true);
  hub.key(Key::C, true);
  EXPECT_EQ(ps2.seen, "+a+c");
}

TEST(InputHub, pointers_by_kind_and_one_report_a_group) {
  InputHub hub;
  Listener listener;
  hub.listen(listener);
  Mouse mouse(false), tablet(true);
  hub.add(mouse);
  hub.add(tablet);
  EXPECT_FALSE(hub.wants_places());
  hub.pointer_relative(3, -4);
  hub.button(Button::Left, true);
  hub.wheel(1);
  hub.sync();
  hub.sync();
  EXPECT_EQ(mouse.seen, "m3,-4b0w1;");
  hub.activate(tablet);
  EXPECT_TRUE(hub.wants_places());
  EXPECT_EQ(listener.changes, 1);
  hub.pointer_absolute(-5, 70000);
  hub.button(Button::Right, true);
  hub.sync();
  EXPECT_EQ(tablet.seen, "p0,32767b2;");
  ASSERT_EQ(hub.pointers().size(), 2u);
  EXPECT_TRUE(hub.pointers()[1].current);
  EXPECT_TRUE(hub.select_pointer(2));
  EXPECT_FALSE(hub.select_pointer(9));
  EXPECT_FALSE(hub.wants_places());
  hub.remove(mouse);
  EXPECT_TRUE(hub.wants_places());
}

TEST(InputHub, indicators_come_from_the_keyboard_in_use) {
  InputHub hub;
  Listener listener;
  hub.listen(listener);
  Keys ps2, usb;
  hub.add(ps2);
  hub.add(usb);
  hub.set_indicators(usb, kCapsLed);
  EXPECT_EQ(listener.leds, 0u);
  hub.set_indicators(ps2, kNumLed);
  EXPECT_EQ(listener.leds, kNumLed);
  EXPECT_EQ(hub.indicators(), kNumLed);
}

TEST(KeySender, chords_are_held_and_follow_each_other) {
  InputHub hub;
  Keys keys;
  hub.add(keys);
  async::FakeClock clock;
  KeySender sender(hub, clock);
  sender.send({Key::Ctrl, Key::Alt, Key::Delete}, 100);
  sender.send({Key::A}, 100);
  EXPECT_EQ(keys.seen, "+ctrl+alt+delete");
  clock.advance(100);
  EXPECT_EQ(keys.seen, "+ctrl+alt+delete-delete-alt-ctrl");
  clock.advance(10'000'000);
  EXPECT_TRUE(keys.seen.ends_with("+a"));
  clock.advance(10'000'100);
  EXPECT_TRUE(keys.seen.ends_with("+a-a"));
  clock.advance(10'000'000);
  EXPECT_TRUE(sender.idle());
  sender.send({Key::B}, 1);
  EXPECT_TRUE(keys.seen.ends_with("+b"));
}

}  // namespace
}  // namespace rhea::display
