#include "display/terminal/terminal_page.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <string_view>

#include "display/terminal/code_page.h"

namespace rhea::display {

namespace {

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
  } else {
    put_utf8(out, from_code_page_437(cell.character));
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
