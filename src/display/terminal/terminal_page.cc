#include "display/terminal/terminal_page.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <string_view>

namespace rhea::display {

namespace {

// Code page 437, as Unicode: its control characters' pictures, and its upper half.
constexpr std::u32string_view kLow =
    U" \u263a\u263b\u2665\u2666\u2663\u2660\u2022\u25d8\u25cb\u25d9\u2642\u2640\u266a\u266b\u263c"
    U"\u25ba\u25c4\u2195\u203c\u00b6\u00a7\u25ac\u21a8\u2191\u2193\u2192\u2190\u221f\u2194\u25b2\u25bc";
constexpr std::u32string_view kHigh =
    U"\u00c7\u00fc\u00e9\u00e2\u00e4\u00e0\u00e5\u00e7\u00ea\u00eb\u00e8\u00ef\u00ee\u00ec\u00c4\u00c5"
    U"\u00c9\u00e6\u00c6\u00f4\u00f6\u00f2\u00fb\u00f9\u00ff\u00d6\u00dc\u00a2\u00a3\u00a5\u20a7\u0192"
    U"\u00e1\u00ed\u00f3\u00fa\u00f1\u00d1\u00aa\u00ba\u00bf\u2310\u00ac\u00bd\u00bc\u00a1\u00ab\u00bb"
    U"\u2591\u2592\u2593\u2502\u2524\u2561\u2562\u2556\u2555\u2563\u2551\u2557\u255d\u255c\u255b\u2510"
    U"\u2514\u2534\u252c\u251c\u2500\u253c\u255e\u255f\u255a\u2554\u2569\u2566\u2560\u2550\u256c\u2567"
    U"\u2568\u2564\u2565\u2559\u2558\u2552\u2553\u256b\u256a\u2518\u250c\u2588\u2584\u258c\u2590\u2580"
    U"\u03b1\u00df\u0393\u03c0\u03a3\u03c3\u00b5\u03c4\u03a6\u0398\u03a9\u03b4\u221e\u03c6\u03b5\u2229"
    U"\u2261\u00b1\u2265\u2264\u2320\u2321\u00f7\u2248\u00b0\u2219\u00b7\u221a\u207f\u00b2\u25a0\u00a0";
static_assert(kLow.size() == 32 && kHigh.size() == 128);

void put_utf8(std::string& out, char32_t c) {
  if (c < 0x80) {
    out += static_cast<char>(c);
  } else if (c < 0x800) {
    out += static_cast<char>(0xc0 | c >> 6);
    out += static_cast<char>(0x80 | (c & 0x3f));
  } else {
    out += static_cast<char>(0xe0 | c >> 12);
    out += static_cast<char>(0x80 | (c >> 6 & 0x3f));
    out += static_cast<char>(0x80 | (c & 0x3f));
  }
}

// What an ASCII terminal shows instead: lines for line drawing, blocks as #.
char ascii_of(uint8_t character) {
  if (character < 0x20 || character == 0x7f) return ' ';
  if (character < 0x80) return static_cast<char>(character);
  if (character == 0xb3 || character == 0xba) return '|';
  if (character == 0xc4 || character == 0xcd) return '-';
  if (character >= 0xb4 && character <= 0xda) return '+';
  if ((character >= 0xb0 && character <= 0xb2) || (character >= 0xdb && character <= 0xdf)) return '#';
  return '?';
}

// VGA counts blue, green, red; terminals red, green, blue.
unsigned swapped(unsigned colour) {
  return (colour & 1) << 2 | (colour & 2) | (colour & 4) >> 2;
}

}  // namespace

void TerminalPage::put_colours(std::string& out, uint8_t attribute) {
  if (attribute_ == attribute) return;
  attribute_ = attribute;
  const unsigned front = attribute & 0x0f, back = attribute >> 4 & 7;
  fmt::format_to(std::back_inserter(out), "\x1b[{};{}m", (front < 8 ? 30 : 90) + swapped(front & 7),
                 40 + swapped(back));
}

void TerminalPage::put_cell(std::string& out, const TextCell& cell) {
  put_colours(out, cell.attribute);
  if (!unicode_) {
    out += ascii_of(cell.character);
  } else if (cell.character < 0x20) {
    put_utf8(out, kLow[cell.character]);
  } else if (cell.character < 0x7f) {
    out += static_cast<char>(cell.character);
  } else {
    put_utf8(out, cell.character == 0x7f ? U'\u2302' : kHigh[cell.character - 0x80]);
  }
}

std::string TerminalPage::show(const TextPage& page, unsigned columns, unsigned rows) {
  std::string out;
  const unsigned wide = std::min(page.columns, columns), high = std::min(page.rows, rows);
  const unsigned top = page.cursor_shown && page.cursor_y >= high ? page.cursor_y - high + 1 : 0;
  const bool all = shown_.columns != wide || shown_.rows != high || shown_.cells.empty();
  if (all) {
    out += "\x1b[0m\x1b[2J";
    attribute_ = -1;
    shown_.columns = wide;
    shown_.rows = high;
    shown_.cells.assign(size_t{wide} * high, {});
  }
  out += "\x1b[?25l";
  for (unsigned y = 0; y < high; ++y) {
    bool there = false;  // the terminal's cursor is where the next cell is
    for (unsigned x = 0; x < wide; ++x) {
      const TextCell& cell = page.cells[size_t{y + top} * page.columns + x];
      TextCell& known = shown_.cells[size_t{y} * wide + x];
      if (cell == known && !all) {
        there = false;
        continue;
      }
      if (!there) fmt::format_to(std::back_inserter(out), "\x1b[{};{}H", y + 1, x + 1);
      there = true;
      known = cell;
      put_cell(out, cell);
    }
  }
  const bool cursor =
      page.cursor_shown && page.cursor_y >= top && page.cursor_y - top < high && page.cursor_x < wide;
  if (cursor)
    fmt::format_to(std::back_inserter(out), "\x1b[{};{}H\x1b[?25h", page.cursor_y - top + 1,
                   page.cursor_x + 1);
  return out;
}

TextPage message_page(std::string_view text, unsigned columns, unsigned rows) {
  TextPage page;
  page.columns = columns;
  page.rows = rows;
  page.cells.resize(size_t{columns} * rows);
  if (columns == 0 || rows == 0) return page;
  text = text.substr(0, columns);
  const size_t at = size_t{rows / 2} * columns + (columns - text.size()) / 2;
  for (size_t i = 0; i < text.size(); ++i) page.cells[at + i].character = static_cast<uint8_t>(text[i]);
  return page;
}

}  // namespace rhea::display
