#include "devices/display/text_console.h"

#include <gtest/gtest.h>

#include "async/fake_clock.h"

namespace rhea::devices {
namespace {

using display::Key;

struct Receiver : chardev::Frontend {
  void connected() override { ++peers; }
  size_t can_receive() override { return room; }
  void receive(std::span<const uint8_t> bytes) override { got.append(bytes.begin(), bytes.end()); }
  size_t room = 100;
  int peers = 0;
  std::string got;
};

struct TextConsoleTest : ::testing::Test {
  TextConsoleTest() {
    font.fill(0xff);
    console.show_on(&screen);
    console.attach(&receiver);
  }
  void write(std::string_view text) {
    const std::vector<uint8_t> bytes(text.begin(), text.end());
    console.write(bytes);
  }
  std::string line(unsigned y) {
    display::TextPage page;
    console.text(page);
    std::string text;
    for (unsigned x = 0; x < page.columns; ++x)
      text += static_cast<char>(page.cells[size_t{y} * page.columns + x].character);
    return text.substr(0, text.find_last_not_of(' ') + 1);
  }
  void press(Key key) {
    console.key(key, true);
    console.key(key, false);
  }

  async::FakeClock clock;
  display::Screen screen{clock, "vc"};
  ConsoleFont font;
  Receiver receiver;
  TextConsole console{"vc", 20, 4, font};
};

TEST_F(TextConsoleTest, somebody_is_there_from_the_start) {
  EXPECT_EQ(receiver.peers, 1);
}

TEST_F(TextConsoleTest, text_wraps_and_scrolls) {
  write("one\r\ntwo\r\n0123456789012345678901234567\r\nend");
  EXPECT_EQ(line(0), "two");
  EXPECT_EQ(line(1), "01234567890123456789");
  EXPECT_EQ(line(2), "01234567");
  EXPECT_EQ(line(3), "end");
}

TEST_F(TextConsoleTest, sequences_move_erase_and_colour) {
  write("abcdef\x1b[3D\x1b[K");
  EXPECT_EQ(line(0), "abc");
  write("\x1b[2;3Hx\x1b[1;31my\x1b[0m\x1b[2J\x1b[Hz");
  EXPECT_EQ(line(0), "z");
  EXPECT_EQ(line(1), "");
  write("\x1b[1;31mr");
  display::TextPage page;
  console.text(page);
  EXPECT_EQ(page.cells[1].attribute, 0x0c);
}

TEST_F(TextConsoleTest, regions_scroll_alone) {
  write("a\r\nb\r\nc\r\nd\x1b[2;3r\x1b[3;1H\nx");
  EXPECT_EQ(line(0), "a");
  EXPECT_EQ(line(1), "c");
  EXPECT_EQ(line(2), "x");
  EXPECT_EQ(line(3), "d");
}

TEST_F(TextConsoleTest, utf8_becomes_the_fonts_characters) {
  write("\xc3\xa9\xe2\x94\x80\xe2\x82\xac");
  EXPECT_EQ(line(0), "\x82\xc4?");
}

TEST_F(TextConsoleTest, nothing_written_harms) {
  std::string text;
  for (unsigned i = 0; i < 20'000; ++i) text += static_cast<char>(i * 2654435761u >> 11);
  write(text);
  write("\x1b[9999;9999H\x1b[9999P\x1b[9999@\x1b[9999L\x1b[9999M\x1b[9999A\x1b[9999X\x1b[0;0r\x1b[9999;1r");
  screen.refresh();
}

TEST_F(TextConsoleTest, keys_become_bytes_and_wait_for_room) {
  receiver.room = 0;
  press(Key::A);
  console.key(Key::Shift, true);
  press(Key::Digit1);
  console.key(Key::Shift, false);
  console.key(Key::Ctrl, true);
  press(Key::C);
  console.key(Key::Ctrl, false);
  press(Key::Up);
  press(Key::Ret);
  EXPECT_EQ(receiver.got, "");
  receiver.room = 100;
  console.resume_input();
  EXPECT_EQ(receiver.got, "a!\x03\x1b[A\r");
}

TEST_F(TextConsoleTest, only_changed_cells_are_drawn) {
  struct Looker : display::Viewer {
    void surface_changed(const display::Surface&) override {}
    void changed(const display::Rect& area) override { last = area; }
    display::Rect last;
  } looker;
  screen.add(looker);
  clock.advance(100'000'000);
  EXPECT_EQ(screen.surface().width(), 160u);
  write("\x1b[?25l");
  clock.advance(100'000'000);
  write("\x1b[2;3Hx");
  clock.advance(100'000'000);
  EXPECT_EQ(looker.last, (display::Rect{16, 16, 8, 16}));
  EXPECT_EQ(screen.surface().row(20)[17], 0xaaaaaau);
  screen.remove(looker);
}

TEST(ConsoleFontTest, is_found_by_its_first_glyphs) {
  std::vector<uint8_t> bios(10'000, 0x33);
  EXPECT_FALSE(find_font(bios));
  const uint8_t face[] = {0, 0, 0x7e, 0x81, 0xa5, 0x81, 0x81, 0xbd, 0x99, 0x81};
  std::fill_n(bios.begin() + 500, 16, uint8_t{0});
  std::ranges::copy(face, bios.begin() + 516);
  const auto font = find_font(bios);
  ASSERT_TRUE(font);
  EXPECT_EQ((*font)[18], 0x7e);
  bios.resize(2000);
  EXPECT_FALSE(find_font(bios));
}

}  // namespace
}  // namespace rhea::devices
