#include "display/key_translator.h"

#include <gtest/gtest.h>

#include "async/fake_clock.h"
#include "display/input.h"
#include "display/key_queue.h"

namespace rhea::display {
namespace {

struct KeyTranslatorTest : testing::Test {
  std::string type(uint32_t keysym) {
    keys.keysym(keysym, true);
    keys.keysym(keysym, false);
    return std::exchange(seen, {});
  }
  Layout layout;
  unsigned leds = 0;
  std::string seen;
  KeyTranslator keys{
      {.layout = &layout,
       .emit = [this](Key key, bool down) { seen += (down ? "+" : "-") + std::string(key_name(key)); },
       .indicators = [this] { return leds; }}};
};

TEST_F(KeyTranslatorTest, plain_shifted_and_fixed_keys) {
  EXPECT_EQ(type('a'), "+a-a");
  EXPECT_EQ(type(0xff0d), "+ret-ret");
  EXPECT_EQ(type(0xffb3), "+kp_3-kp_3");
  EXPECT_EQ(type(0xffc9), "+f12-f12");
  EXPECT_EQ(type(0x01000061), "+a-a");
  EXPECT_EQ(type(0x01004e00), "") << "no key gives it";
  keys.keysym(0xffe1, true);
  EXPECT_EQ(type('A'), "+shift+a-a");
}

TEST_F(KeyTranslatorTest, missing_modifiers_are_added_and_wrong_ones_taken_away) {
  EXPECT_EQ(type('A'), "+shift+a-shift-a");
  EXPECT_EQ(type('@'), "+shift+2-shift-2");
  keys.keysym(0xffe1, true);
  seen.clear();
  EXPECT_EQ(type('1'), "-shift+1+shift-1");
  keys.keysym(0xffe3, true);
  seen.clear();
  EXPECT_EQ(type('c'), "+c-c") << "with Ctrl the key is meant";
}

TEST_F(KeyTranslatorTest, caps_lock_of_the_guest_counts_for_letters) {
  leds = kCapsLed;
  EXPECT_EQ(type('A'), "+a-a");
  EXPECT_EQ(type('a'), "+shift+a-shift-a");
  EXPECT_EQ(type('1'), "+1-1");
}

TEST_F(KeyTranslatorTest, nothing_stays_down) {
  keys.keysym('a', true);
  keys.keysym(0xffe1, true);
  keys.keysym('A', false);
  EXPECT_EQ(seen, "+a+shift-a");
  keys.key(Key::F5, true);
  seen.clear();
  keys.release_all();
  EXPECT_EQ(seen, "-shift-f5");
}

TEST(LayoutTest, names_are_checked) {
  EXPECT_TRUE(Layout::load("en-us"));
  EXPECT_FALSE(Layout::load("klingon"));
}

TEST(LayoutTest, german_where_the_host_has_it) {
  const auto german = Layout::load("de");
  if (!german) GTEST_SKIP() << german.error().message();
  EXPECT_EQ(german->find('z').front(), (KeyStroke{Key::Y, 0}));
  EXPECT_EQ(german->find('@').front(), (KeyStroke{Key::Q, kAltGrModifier}));
  EXPECT_EQ(german->find(0xe4).front(), (KeyStroke{Key::Apostrophe, 0}));
  EXPECT_EQ(german->find('<').front(), (KeyStroke{Key::Less, 0}));
}

TEST(KeyQueueTest, keys_are_spaced_out) {
  struct Keys : KeyboardSink {
    std::string seen;
    std::string_view input_name() const override { return "keys"; }
    void key(Key key, bool down) override { seen += (down ? "+" : "-") + std::string(key_name(key)); }
  } keyboard;
  InputHub hub;
  hub.add(keyboard);
  async::FakeClock clock;
  KeyQueue queue(hub, clock, 10);
  for (const bool down : {true, false, true, false}) queue.key(Key::A, down);
  EXPECT_EQ(keyboard.seen, "+a");
  clock.advance(10);
  EXPECT_EQ(keyboard.seen, "+a-a");
  clock.advance(20);
  EXPECT_EQ(keyboard.seen, "+a-a+a-a");
  for (int i = 0; i < 3000; ++i) queue.key(Key::B, true);
  queue.key(Key::B, false);
  clock.advance(100000);
  EXPECT_TRUE(keyboard.seen.ends_with("-b"));
}

}  // namespace
}  // namespace rhea::display
