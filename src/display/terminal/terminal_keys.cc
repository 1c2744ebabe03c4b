#include "display/terminal/terminal_keys.h"

#include <algorithm>
#include <optional>

namespace rhea::display {

namespace {

constexpr char kEscape = 0x1b;
constexpr size_t kLongestSequence = 32;

struct Final {
  char letter;
  Key key;
};
// CSI letter, and SS3 letter.
constexpr Final kLetters[] = {{'A', Key::Up},     {'B', Key::Down}, {'C', Key::Right}, {'D', Key::Left},
                              {'E', Key::Kp5},    {'F', Key::End},  {'H', Key::Home},  {'P', Key::F1},
                              {'Q', Key::F2},     {'R', Key::F3},   {'S', Key::F4},    {'Z', Key::Tab},
                              {'M', Key::KpEnter}};
struct Number {
  unsigned number;
  Key key;
};
// CSI number ~.
constexpr Number kNumbers[] = {{1, Key::Home}, {2, Key::Insert}, {3, Key::Delete}, {4, Key::End},
                               {5, Key::Pgup}, {6, Key::Pgdn},   {7, Key::Home},   {8, Key::End},
                               {11, Key::F1},  {12, Key::F2},    {13, Key::F3},    {14, Key::F4},
                               {15, Key::F5},  {17, Key::F6},    {18, Key::F7},    {19, Key::F8},
                               {20, Key::F9},  {21, Key::F10},   {23, Key::F11},   {24, Key::F12}};
// The Linux console's CSI [ A to E.
constexpr Key kLinuxKeys[] = {Key::F1, Key::F2, Key::F3, Key::F4, Key::F5};

TerminalKeys::Chord chord(Key key, bool shift, bool alt, bool control, bool alt_gr = false) {
  TerminalKeys::Chord keys;
  if (control) keys.push_back(Key::Ctrl);
  if (alt) keys.push_back(Key::Alt);
  if (alt_gr) keys.push_back(Key::AltR);
  if (shift) keys.push_back(Key::Shift);
  keys.push_back(key);
  return keys;
}

std::optional<Key> by_letter(char letter) {
  for (const Final& f : kLetters) {
    if (f.letter == letter) return f.key;
  }
  return std::nullopt;
}

std::optional<Key> by_number(unsigned number) {
  for (const Number& n : kNumbers) {
    if (n.number == number) return n.key;
  }
  return std::nullopt;
}

// The bytes of the character that begins with this one; 1 for what is no UTF-8.
size_t length_of(uint8_t first) {
  if (first >= 0xf0 && first < 0xf8) return 4;
  if (first >= 0xe0) return first < 0xf0 ? 3 : 1;
  return first >= 0xc0 ? 2 : 1;
}

uint32_t decode(std::string_view bytes) {
  const auto first = static_cast<uint8_t>(bytes[0]);
  if (bytes.size() == 1) return first;
  uint32_t value = first & (0xffu >> (bytes.size() + 1));
  for (const char c : bytes.substr(1)) value = value << 6 | (static_cast<uint8_t>(c) & 0x3fu);
  return value;
}

}  // namespace

std::vector<TerminalKeys::Chord> TerminalKeys::parse(std::span<const uint8_t> bytes) {
  std::vector<Chord> out;
  rest_.append(bytes.begin(), bytes.end());
  std::string_view text = rest_;
  while (!text.empty()) {
    const size_t taken = take(text, out);
    if (taken == 0) break;
    text.remove_prefix(taken);
  }
  rest_ = text.size() > kLongestSequence ? std::string() : std::string(text);
  return out;
}

// Returns how many bytes were taken; 0: there must be more.
size_t TerminalKeys::take(std::string_view text, std::vector<Chord>& out) const {
  return text[0] == kEscape ? take_escape(text, out) : take_character(text, false, out);
}

size_t TerminalKeys::take_escape(std::string_view text, std::vector<Chord>& out) const {
  if (text.size() == 1) {
    out.push_back({Key::Esc});
    return 1;
  }
  if (text[1] == '[') return take_control_sequence(text, out);
  if (text[1] == 'O') {
    if (text.size() < 3) return 0;
    if (const auto key = by_letter(text[2])) out.push_back({*key});
    return 3;
  }
  if (text[1] == kEscape) {
    out.push_back({Key::Esc});
    return 1;
  }
  const size_t taken = take_character(text.substr(1), true, out);
  return taken == 0 ? 0 : taken + 1;
}

// CSI number ; modifiers final.
size_t TerminalKeys::take_control_sequence(std::string_view text, std::vector<Chord>& out) const {
  size_t at = 2;
  if (text.size() > at && text[at] == '[') {
    if (text.size() < 4) return 0;
    const auto index = static_cast<unsigned>(text[3] - 'A');
    if (index < std::size(kLinuxKeys)) out.push_back({kLinuxKeys[index]});
    return 4;
  }
  unsigned numbers[2] = {0, 1};
  size_t which = 0;
  for (; at < text.size() && (text[at] < 0x40 || text[at] > 0x7e); ++at) {
    if (text[at] == ';') {
      ++which;
    } else if (text[at] >= '0' && text[at] <= '9' && which < 2) {
      numbers[which] = std::min(numbers[which] * (which == 1 && text[at - 1] == ';' ? 0 : 10) +
                                    static_cast<unsigned>(text[at] - '0'),
                                9999u);
    }
  }
  if (at == text.size()) return 0;
  const char final = text[at];
  const unsigned modifiers = numbers[1] == 0 ? 0 : numbers[1] - 1;
  const auto key = final == '~' ? by_number(numbers[0]) : by_letter(final);
  if (key)
    out.push_back(
        chord(*key, (modifiers & 1) != 0 || final == 'Z', (modifiers & 2) != 0, (modifiers & 4) != 0));
  return at + 1;
}

size_t TerminalKeys::take_character(std::string_view text, bool alt, std::vector<Chord>& out) const {
  const auto first = static_cast<uint8_t>(text[0]);
  switch (first) {
    case '\r':
    case '\n': out.push_back(chord(Key::Ret, false, alt, false)); return 1;
    case '\t': out.push_back(chord(Key::Tab, false, alt, false)); return 1;
    case 0x08:
    case 0x7f: out.push_back(chord(Key::Backspace, false, alt, false)); return 1;
    default: break;
  }
  const size_t length = length_of(first);
  if (text.size() < length) return 0;
  uint32_t keysym = decode(text.substr(0, length));
  const bool control = keysym < 0x20;
  if (control) keysym = keysym == 0 ? ' ' : keysym <= 26 ? keysym + 0x60 : keysym + 0x40;
  if (keysym > 0xff) keysym |= 0x01000000;  // X11: beyond Latin-1 a keysym is the character with this bit
  const std::vector<KeyStroke>& strokes = layout_.find(keysym);
  if (strokes.empty()) return length;
  const KeyStroke& stroke = strokes.front();
  out.push_back(chord(stroke.key, (stroke.modifiers & kShiftModifier) != 0, alt, control,
                      (stroke.modifiers & kAltGrModifier) != 0));
  return length;
}

}  // namespace rhea::display
