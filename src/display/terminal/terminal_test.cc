#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "display/terminal/terminal_keys.h"
#include "display/terminal/terminal_page.h"

namespace rhea::display {
namespace {

using ::testing::ElementsAre;
using Chord = TerminalKeys::Chord;

struct TerminalKeysTest : ::testing::Test {
  std::vector<Chord> parse(std::string_view text) {
    const std::vector<uint8_t> bytes(text.begin(), text.end());
    return keys.parse(bytes);
  }
  Layout layout;
  TerminalKeys keys{layout};
};

TEST_F(TerminalKeysTest, characters_become_keys_and_modifiers) {
  EXPECT_THAT(parse("aA1!"), ElementsAre(Chord{Key::A}, Chord{Key::Shift, Key::A}, Chord{Key::Digit1},
                                         Chord{Key::Shift, Key::Digit1}));
  EXPECT_THAT(parse("\r\t\x7f\x03"),
              ElementsAre(Chord{Key::Ret}, Chord{Key::Tab}, Chord{Key::Backspace}, Chord{Key::Ctrl, Key::C}));
}

TEST_F(TerminalKeysTest, escape_begins_sequences_and_alt) {
  EXPECT_THAT(parse("\x1b"), ElementsAre(Chord{Key::Esc}));
  EXPECT_THAT(parse("\x1b[A\x1bOP\x1b[15~\x1b[[B"),
              ElementsAre(Chord{Key::Up}, Chord{Key::F1}, Chord{Key::F5}, Chord{Key::F2}));
  EXPECT_THAT(parse("\x1b[1;5C\x1b[3;2~"),
              ElementsAre(Chord{Key::Ctrl, Key::Right}, Chord{Key::Shift, Key::Delete}));
  EXPECT_THAT(parse("\x1bx"), ElementsAre(Chord{Key::Alt, Key::X}));
}

TEST_F(TerminalKeysTest, a_sequence_may_come_in_pieces_and_nonsense_is_dropped) {
  EXPECT_TRUE(parse("\x1b[1").empty());
  EXPECT_THAT(parse("9~"), ElementsAre(Chord{Key::F8}));
  EXPECT_TRUE(parse("\x1b[999999999999999999999999999999999999999").empty());
  EXPECT_THAT(parse("a"), ElementsAre(Chord{Key::A}));
  EXPECT_TRUE(parse("\xff\xfe").empty());
}

TextPage page_of(std::string_view text, unsigned columns, unsigned rows) {
  TextPage page{.columns = columns, .rows = rows, .cells = {}};
  page.cells.resize(size_t{columns} * rows);
  for (size_t i = 0; i < text.size(); ++i) page.cells[i].character = static_cast<uint8_t>(text[i]);
  return page;
}

TEST(TerminalPageTest, only_changes_are_sent) {
  TerminalPage terminal(true);
  EXPECT_NE(terminal.show(page_of("hello", 10, 2), 80, 25).find("hello"), std::string::npos);
  EXPECT_EQ(terminal.show(page_of("hallo", 10, 2), 80, 25), "\x1b[?25l\x1b[1;2Ha");
}

TEST(TerminalPageTest, colours_and_line_drawing) {
  TerminalPage terminal(true);
  TextPage page = page_of("\xc9", 2, 1);
  page.cells[0].attribute = 0x1e;  // yellow on blue
  const std::string text = terminal.show(page, 80, 25);
  EXPECT_NE(text.find("\x1b[93;44m\xe2\x95\x94"), std::string::npos) << text;
  TerminalPage ascii(false);
  EXPECT_NE(ascii.show(page, 80, 25).find('+'), std::string::npos);
}

TEST(TerminalPageTest, a_small_terminal_shows_the_part_with_the_cursor) {
  TerminalPage terminal(true);
  TextPage page = page_of("", 80, 25);
  page.cells[24 * 80].character = '$';
  page.cursor_shown = true;
  page.cursor_y = 24;
  const std::string text = terminal.show(page, 80, 10);
  EXPECT_NE(text.find("\x1b[10;1H"), std::string::npos);
  EXPECT_NE(text.find('$'), std::string::npos);
}

}  // namespace
}  // namespace rhea::display
