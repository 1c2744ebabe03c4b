#include "devices/display/text_console.h"

#include <algorithm>

#include "devices/display/row_changes.h"
#include "display/terminal/code_page.h"

namespace rhea::devices {

using display::Key;

namespace {

constexpr unsigned kCellWidth = 8, kCellHeight = 16;
constexpr size_t kMostArguments = 16, kMostInput = 4096;
constexpr unsigned kLargestArgument = 9999;
constexpr uint32_t kColours[16] = {0x000000, 0x0000aa, 0x00aa00, 0x00aaaa, 0xaa0000, 0xaa00aa,
                                   0xaa5500, 0xaaaaaa, 0x555555, 0x5555ff, 0x55ff55, 0x55ffff,
                                   0xff5555, 0xff55ff, 0xffff55, 0xffffff};

// ECMA-48 counts red, green, blue; a VGA blue, green, red.
uint8_t vga_colour(unsigned colour) {
  return static_cast<uint8_t>((colour & 1) << 2 | (colour & 2) | (colour & 4) >> 2);
}

struct Special {
  Key key;
  std::string_view bytes;
};
constexpr Special kSpecials[] = {{Key::Up, "\x1b[A"},      {Key::Down, "\x1b[B"},  {Key::Right, "\x1b[C"},
                                 {Key::Left, "\x1b[D"},    {Key::Home, "\x1b[1~"}, {Key::Insert, "\x1b[2~"},
                                 {Key::Delete, "\x1b[3~"}, {Key::End, "\x1b[4~"},  {Key::Pgup, "\x1b[5~"},
                                 {Key::Pgdn, "\x1b[6~"},   {Key::Ret, "\r"},       {Key::KpEnter, "\r"},
                                 {Key::Backspace, "\x7f"}, {Key::Tab, "\t"},       {Key::Esc, "\x1b"}};

struct Typed {
  Key key;
  char plain, shifted;
};
// A keyboard of the United States.
constexpr Typed kTyped[] = {{Key::Digit1, '1', '!'},      {Key::Digit2, '2', '@'},
                            {Key::Digit3, '3', '#'},      {Key::Digit4, '4', '$'},
                            {Key::Digit5, '5', '%'},      {Key::Digit6, '6', '^'},
                            {Key::Digit7, '7', '&'},      {Key::Digit8, '8', '*'},
                            {Key::Digit9, '9', '('},      {Key::Digit0, '0', ')'},
                            {Key::Minus, '-', '_'},       {Key::Equal, '=', '+'},
                            {Key::Q, 'q', 'Q'},           {Key::W, 'w', 'W'},
                            {Key::E, 'e', 'E'},           {Key::R, 'r', 'R'},
                            {Key::T, 't', 'T'},           {Key::Y, 'y', 'Y'},
                            {Key::U, 'u', 'U'},           {Key::I, 'i', 'I'},
                            {Key::O, 'o', 'O'},           {Key::P, 'p', 'P'},
                            {Key::A, 'a', 'A'},           {Key::S, 's', 'S'},
                            {Key::D, 'd', 'D'},           {Key::F, 'f', 'F'},
                            {Key::G, 'g', 'G'},           {Key::H, 'h', 'H'},
                            {Key::J, 'j', 'J'},           {Key::K, 'k', 'K'},
                            {Key::L, 'l', 'L'},           {Key::Z, 'z', 'Z'},
                            {Key::X, 'x', 'X'},           {Key::C, 'c', 'C'},
                            {Key::V, 'v', 'V'},           {Key::B, 'b', 'B'},
                            {Key::N, 'n', 'N'},           {Key::M, 'm', 'M'},
                            {Key::Spc, ' ', ' '},         {Key::Comma, ',', '<'},
                            {Key::Dot, '.', '>'},         {Key::Slash, '/', '?'},
                            {Key::Semicolon, ';', ':'},   {Key::Apostrophe, '\'', '"'},
                            {Key::BracketLeft, '[', '{'}, {Key::BracketRight, ']', '}'},
                            {Key::Backslash, '\\', '|'},  {Key::GraveAccent, '`', '~'},
                            {Key::KpDivide, '/', '/'},    {Key::KpMultiply, '*', '*'},
                            {Key::KpSubtract, '-', '-'},  {Key::KpAdd, '+', '+'},
                            {Key::Kp0, '0', '0'},         {Key::Kp1, '1', '1'},
                            {Key::Kp2, '2', '2'},         {Key::Kp3, '3', '3'},
                            {Key::Kp4, '4', '4'},         {Key::Kp5, '5', '5'},
                            {Key::Kp6, '6', '6'},         {Key::Kp7, '7', '7'},
                            {Key::Kp8, '8', '8'},         {Key::Kp9, '9', '9'},
                            {Key::KpDecimal, '.', '.'}};

}  // namespace

std::optional<ConsoleFont> find_font(std::span<const uint8_t> vga_bios) {
  // An empty glyph, then code page 437's white face.
  constexpr uint8_t kFirst[] = {0, 0, 0, 0, 0, 0,    0,    0,    0,    0,    0,    0,    0,
                                0, 0, 0, 0, 0, 0x7e, 0x81, 0xa5, 0x81, 0x81, 0xbd, 0x99, 0x81};
  const auto at = std::ranges::search(vga_bios, kFirst).begin();
  const auto begin = static_cast<size_t>(at - vga_bios.begin());
  ConsoleFont font{};
  if (vga_bios.size() - begin < font.size()) return std::nullopt;
  std::ranges::copy(vga_bios.subspan(begin, font.size()), font.begin());
  return font;
}

TextConsole::TextConsole(std::string label, unsigned columns, unsigned rows, const ConsoleFont& font)
    : label_(std::move(label)), font_(font), bottom_(rows - 1) {
  page_.columns = columns;
  page_.rows = rows;
  page_.cells.resize(size_t{columns} * rows);
  page_.cursor_shown = true;
}

TextConsole::~TextConsole() {
  show_on(nullptr);
}

void TextConsole::show_on(display::Screen* screen) {
  if (screen_ != nullptr) screen_->set_source(nullptr);
  screen_ = screen;
  drawn_ = {};
  if (screen_ != nullptr) screen_->set_source(this);
}

void TextConsole::attach(chardev::Frontend* frontend) {
  frontend_ = frontend;
  if (frontend_ != nullptr) frontend_->connected();
  flush_input();
}

size_t TextConsole::write(std::span<const uint8_t> bytes) {
  for (const uint8_t byte : bytes) put(byte);
  if (screen_ != nullptr) screen_->wake();
  return bytes.size();
}

void TextConsole::put(uint8_t byte) {
  if (state_ == State::String) {  // a title, say: until BEL or ESC \.
    if (byte == 0x07) state_ = State::Text;
    if (byte == 0x1b) state_ = State::Skip;
    return;
  }
  if (state_ == State::Skip) {
    state_ = State::Text;
    return;
  }
  if (byte == 0x1b) {
    state_ = State::Escape;
  } else if (byte < 0x20) {
    control(byte);
  } else if (state_ == State::Escape) {
    escape(byte);
  } else if (state_ == State::Sequence) {
    sequence(byte);
  } else {
    put_text(byte);
  }
}

// UTF-8.
void TextConsole::put_text(uint8_t byte) {
  if (byte < 0x80) {
    rune_left_ = 0;
    if (byte != 0x7f) put_character(byte);
  } else if (byte >= 0xc0) {
    rune_left_ = byte >= 0xf0 ? 3 : byte >= 0xe0 ? 2 : 1;
    rune_ = byte & (0x3fu >> rune_left_);
  } else if (rune_left_ != 0) {
    rune_ = rune_ << 6 | (byte & 0x3fu);
    if (--rune_left_ == 0) put_character(display::to_code_page_437(rune_));
  }
}

void TextConsole::put_character(uint8_t character) {
  if (wrap_next_) {
    wrap_next_ = false;
    page_.cursor_x = 0;
    line_feed();
  }
  cell(page_.cursor_x, page_.cursor_y) = {character, attribute()};
  if (page_.cursor_x + 1 < page_.columns) {
    ++page_.cursor_x;
  } else {
    wrap_next_ = true;
  }
}

void TextConsole::control(uint8_t byte) {
  switch (byte) {
    case '\r': page_.cursor_x = 0; break;
    case '\n':
    case '\v':
    case '\f': line_feed(); break;
    case '\b':
      if (page_.cursor_x != 0) --page_.cursor_x;
      break;
    case '\t': page_.cursor_x = std::min((page_.cursor_x / 8 + 1) * 8, page_.columns - 1); break;
    default: return;
  }
  wrap_next_ = false;
}

void TextConsole::escape(uint8_t byte) {
  state_ = State::Text;
  switch (byte) {
    case '[':
      state_ = State::Sequence;
      arguments_.assign(1, 0);
      private_ = false;
      break;
    case ']':
    case 'P':
    case '_':
    case '^': state_ = State::String; break;
    case '(':
    case ')':
    case '#': state_ = State::Skip; break;
    case '7':
      saved_x_ = page_.cursor_x;
      saved_y_ = page_.cursor_y;
      break;
    case '8':
      page_.cursor_x = saved_x_;
      page_.cursor_y = saved_y_;
      break;
    case 'D': line_feed(); break;
    case 'M':
      if (page_.cursor_y == top_) {
        scroll(top_, bottom_, -1);
      } else if (page_.cursor_y != 0) {
        --page_.cursor_y;
      }
      break;
    case 'c':
      front_ = 7;
      back_ = 0;
      bold_ = reverse_ = false;
      top_ = 0;
      bottom_ = page_.rows - 1;
      clear(0, page_.columns * page_.rows);
      page_.cursor_x = page_.cursor_y = 0;
      break;
    default: break;
  }
}

void TextConsole::sequence(uint8_t byte) {
  if (byte >= '0' && byte <= '9') {
    unsigned& last = arguments_.back();
    last = std::min(last * 10 + (byte - '0'), kLargestArgument);
  } else if (byte == ';') {
    if (arguments_.size() < kMostArguments) arguments_.push_back(0);
  } else if (byte == '?' || byte == '>' || byte == '=') {
    private_ = true;
  } else if (byte >= 0x40) {
    state_ = State::Text;
    run_sequence(static_cast<char>(byte));
  }
}

// Zero means the same as leaving it out.
unsigned TextConsole::argument(size_t index, unsigned usual) const {
  const unsigned value = index < arguments_.size() ? arguments_[index] : 0;
  return value == 0 ? usual : value;
}

void TextConsole::run_sequence(char final) {
  wrap_next_ = false;
  switch (final) {
    case 'J':
    case 'K':
    case 'X': erase(final); break;
    case '@':
    case 'P':
    case 'L':
    case 'M': insert_or_delete(final); break;
    case 'm':
      if (!private_) set_attributes();
      break;
    case 'r': {
      const unsigned top = argument(0, 1) - 1, bottom = std::min(argument(1, page_.rows), page_.rows) - 1;
      if (!private_ && top < bottom) {
        top_ = top;
        bottom_ = bottom;
        page_.cursor_x = page_.cursor_y = 0;
      }
      break;
    }
    case 'h':
    case 'l':
      if (private_ && arguments_[0] == 25) page_.cursor_shown = final == 'h';
      break;
    case 'n':
      if (arguments_[0] == 6)
        send("\x1b[" + std::to_string(page_.cursor_y + 1) + ";" + std::to_string(page_.cursor_x + 1) + "R");
      break;
    case 's':
      saved_x_ = page_.cursor_x;
      saved_y_ = page_.cursor_y;
      break;
    case 'u':
      page_.cursor_x = saved_x_;
      page_.cursor_y = saved_y_;
      break;
    default: move_cursor(final); break;
  }
}

void TextConsole::move_cursor(char final) {
  const unsigned n = argument(0, 1);
  unsigned &x = page_.cursor_x, &y = page_.cursor_y;
  switch (final) {
    case 'A': y -= std::min(n, y); break;
    case 'B': y = std::min(y + n, page_.rows - 1); break;
    case 'C': x = std::min(x + n, page_.columns - 1); break;
    case 'D': x -= std::min(n, x); break;
    case 'G': x = std::min(n, page_.columns) - 1; break;
    case 'd': y = std::min(n, page_.rows) - 1; break;
    case 'H':
    case 'f':
      y = std::min(n, page_.rows) - 1;
      x = std::min(argument(1, 1), page_.columns) - 1;
      break;
    default: break;
  }
}

void TextConsole::erase(char final) {
  const unsigned line = page_.cursor_y * page_.columns, here = line + page_.cursor_x;
  const unsigned end = final == 'J' ? page_.columns * page_.rows : line + page_.columns;
  if (final == 'X') {
    clear(here, std::min(here + argument(0, 1), line + page_.columns));
    return;
  }
  const unsigned begin = final == 'J' ? 0 : line;
  switch (arguments_[0]) {
    case 0: clear(here, end); break;
    case 1: clear(begin, here + 1); break;
    default: clear(begin, end); break;
  }
}

void TextConsole::insert_or_delete(char final) {
  const unsigned n = argument(0, 1);
  if (final == 'L' || final == 'M') {
    if (page_.cursor_y < top_ || page_.cursor_y > bottom_) return;
    const int lines = static_cast<int>(std::min(n, bottom_ - page_.cursor_y + 1));
    scroll(page_.cursor_y, bottom_, final == 'M' ? lines : -lines);
    return;
  }
  const auto line = page_.cells.begin() + static_cast<ptrdiff_t>(size_t{page_.cursor_y} * page_.columns);
  const auto here = line + page_.cursor_x, end = line + page_.columns;
  const auto count = std::min<ptrdiff_t>(n, end - here);
  const display::TextCell blank{' ', attribute()};
  if (final == 'P') {
    std::fill(std::copy(here + count, end, here), end, blank);
  } else {
    std::copy_backward(here, end - count, end);
    std::fill(here, here + count, blank);
  }
}

void TextConsole::set_attributes() {
  for (const unsigned code : arguments_) {
    if (code == 0) {
      front_ = 7;
      back_ = 0;
      bold_ = reverse_ = false;
    } else if (code == 1 || code == 22) {
      bold_ = code == 1;
    } else if (code == 7 || code == 27) {
      reverse_ = code == 7;
    } else if (code >= 30 && code <= 37) {
      front_ = vga_colour(code - 30);
    } else if (code == 39) {
      front_ = 7;
    } else if (code >= 40 && code <= 47) {
      back_ = vga_colour(code - 40);
    } else if (code == 49) {
      back_ = 0;
    } else if (code >= 90 && code <= 97) {
      front_ = static_cast<uint8_t>(vga_colour(code - 90) | 8);
    }
  }
}

uint8_t TextConsole::attribute() const {
  const unsigned front = front_ | (bold_ ? 8u : 0);
  return static_cast<uint8_t>(reverse_ ? back_ | (front & 7) << 4 : front | unsigned{back_} << 4);
}

void TextConsole::line_feed() {
  if (page_.cursor_y == bottom_) {
    scroll(top_, bottom_, 1);
  } else if (page_.cursor_y + 1 < page_.rows) {
    ++page_.cursor_y;
  }
}

// Lines [top, bottom] move up, or down where `lines` is negative.
void TextConsole::scroll(unsigned top, unsigned bottom, int lines) {
  const auto row = [this](unsigned y) {
    return page_.cells.begin() + static_cast<ptrdiff_t>(size_t{y} * page_.columns);
  };
  const unsigned height = bottom - top + 1;
  const unsigned count = std::min(static_cast<unsigned>(std::abs(lines)), height);
  const display::TextCell blank{' ', attribute()};
  if (lines > 0) {
    std::fill(std::copy(row(top + count), row(bottom + 1), row(top)), row(bottom + 1), blank);
  } else {
    std::copy_backward(row(top), row(bottom + 1 - count), row(bottom + 1));
    std::fill(row(top), row(top + count), blank);
  }
}

void TextConsole::clear(unsigned from, unsigned to) {
  std::fill(page_.cells.begin() + from, page_.cells.begin() + to, display::TextCell{' ', attribute()});
}

void TextConsole::draw_cell(display::Surface& surface, unsigned x, unsigned y, const display::TextCell& cell,
                            bool cursor) {
  uint32_t front = kColours[cell.attribute & 15], back = kColours[cell.attribute >> 4 & 7];
  if (cursor) std::swap(front, back);
  for (unsigned i = 0; i < kCellHeight; ++i) {
    const unsigned dots = font_[cell.character * kCellHeight + i];
    uint32_t* to = surface.row(y * kCellHeight + i).data() + size_t{x} * kCellWidth;
    for (unsigned bit = 0; bit < kCellWidth; ++bit) to[bit] = (dots << bit & 0x80) != 0 ? front : back;
  }
}

std::optional<int64_t> TextConsole::refresh() {
  display::Surface& surface = screen_->resize(page_.columns * kCellWidth, page_.rows * kCellHeight);
  const bool all = drawn_.cells.size() != page_.cells.size();
  if (all) drawn_ = page_;
  const auto has_cursor = [](const display::TextPage& page, unsigned x, unsigned y) {
    return page.cursor_shown && page.cursor_x == x && page.cursor_y == y;
  };
  RowChanges changes(*screen_);
  for (unsigned y = 0; y < page_.rows; ++y) {
    unsigned first = page_.columns, last = 0;
    for (unsigned x = 0; x < page_.columns; ++x) {
      const display::TextCell& fresh = cell(x, y);
      const bool cursor = has_cursor(page_, x, y);
      if (!all && fresh == drawn_.cells[size_t{y} * page_.columns + x] && cursor == has_cursor(drawn_, x, y))
        continue;
      draw_cell(surface, x, y, fresh, cursor);
      first = std::min(first, x);
      last = x + 1;
    }
    if (first < last) changes.add(y * kCellHeight, kCellHeight, first * kCellWidth, last * kCellWidth);
  }
  drawn_ = page_;
  return std::nullopt;
}

bool TextConsole::text(display::TextPage& page) {
  page = page_;
  return true;
}

bool TextConsole::key(Key key, bool down) {
  switch (key) {
    case Key::Shift:
    case Key::ShiftR: shift_ = down; return true;
    case Key::Ctrl:
    case Key::CtrlR: control_ = down; return true;
    case Key::Alt:
    case Key::AltR: alt_ = down; return true;
    case Key::CapsLock:
      if (down) caps_ = !caps_;
      return true;
    default: break;
  }
  if (!down) return true;
  for (const Special& special : kSpecials) {
    if (special.key == key) send(special.bytes);
  }
  for (const Typed& typed : kTyped) {
    if (typed.key != key) continue;
    const bool letter = typed.plain >= 'a' && typed.plain <= 'z';
    char c = shift_ != (caps_ && letter) ? typed.shifted : typed.plain;
    if (control_) c = static_cast<char>((letter ? typed.plain : typed.shifted) & 0x1f);
    if (alt_) send("\x1b");
    send({&c, 1});
  }
  return true;
}

void TextConsole::send(std::string_view bytes) {
  if (input_.size() + bytes.size() > kMostInput) return;
  input_.insert(input_.end(), bytes.begin(), bytes.end());
  flush_input();
}

void TextConsole::flush_input() {
  while (frontend_ != nullptr && !input_.empty()) {
    const size_t room = std::min(frontend_->can_receive(), input_.size());
    if (room == 0) return;
    const std::vector<uint8_t> bytes(input_.begin(), input_.begin() + static_cast<ptrdiff_t>(room));
    input_.erase(input_.begin(), input_.begin() + static_cast<ptrdiff_t>(room));
    frontend_->receive(bytes);
  }
}

void TextConsole::resume_input() {
  flush_input();
}

}  // namespace rhea::devices
