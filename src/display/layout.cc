#include "display/layout.h"

#include <algorithm>
#include <iterator>

namespace rhea::display {

namespace {

struct FixedKey {
  uint32_t first, last;
  Key key;  // of the first; the others follow it
};

constexpr FixedKey kFixed[] = {
    {0xff08, 0xff08, Key::Backspace},
    {0xff09, 0xff09, Key::Tab},
    {0xfe20, 0xfe20, Key::Tab},  // ISO_Left_Tab: Shift is held
    {0xff0a, 0xff0a, Key::Lf},
    {0xff0d, 0xff0d, Key::Ret},
    {0xff13, 0xff13, Key::Pause},
    {0xff14, 0xff14, Key::ScrollLock},
    {0xff15, 0xff15, Key::Sysrq},
    {0xff1b, 0xff1b, Key::Esc},
    {0xff20, 0xff20, Key::Compose},
    {0xff22, 0xff22, Key::Muhenkan},
    {0xff23, 0xff23, Key::Henkan},
    {0xff25, 0xff25, Key::Hiragana},
    {0xff27, 0xff27, Key::Katakanahiragana},
    {0xff31, 0xff31, Key::Lang1},
    {0xff34, 0xff34, Key::Lang2},
    {0xff50, 0xff50, Key::Home},
    {0xff51, 0xff51, Key::Left},
    {0xff52, 0xff52, Key::Up},
    {0xff53, 0xff53, Key::Right},
    {0xff54, 0xff54, Key::Down},
    {0xff55, 0xff55, Key::Pgup},
    {0xff56, 0xff56, Key::Pgdn},
    {0xff57, 0xff57, Key::End},
    {0xff61, 0xff61, Key::Print},
    {0xff63, 0xff63, Key::Insert},
    {0xff65, 0xff65, Key::Undo},
    {0xff66, 0xff66, Key::Again},
    {0xff67, 0xff67, Key::Compose},
    {0xff68, 0xff68, Key::Find},
    {0xff6a, 0xff6a, Key::Help},
    {0xff6b, 0xff6b, Key::Pause},
    {0xff7e, 0xff7e, Key::AltR},
    {0xff7f, 0xff7f, Key::NumLock},
    {0xff8d, 0xff8d, Key::KpEnter},
    {0xff95, 0xff95, Key::Kp7},
    {0xff96, 0xff96, Key::Kp4},
    {0xff97, 0xff97, Key::Kp8},
    {0xff98, 0xff98, Key::Kp6},
    {0xff99, 0xff99, Key::Kp2},
    {0xff9a, 0xff9a, Key::Kp9},
    {0xff9b, 0xff9b, Key::Kp3},
    {0xff9c, 0xff9c, Key::Kp1},
    {0xff9d, 0xff9d, Key::Kp5},
    {0xff9e, 0xff9e, Key::Kp0},
    {0xff9f, 0xff9f, Key::KpDecimal},
    {0xffaa, 0xffaa, Key::KpMultiply},
    {0xffab, 0xffab, Key::KpAdd},
    {0xffac, 0xffac, Key::KpComma},
    {0xffad, 0xffad, Key::KpSubtract},
    {0xffae, 0xffae, Key::KpDecimal},
    {0xffaf, 0xffaf, Key::KpDivide},
    {0xffb0, 0xffb9, Key::Kp0},
    {0xffbd, 0xffbd, Key::KpEquals},
    {0xffbe, 0xffc7, Key::F1},
    {0xffc8, 0xffc9, Key::F11},
    {0xffca, 0xffd5, Key::F13},
    {0xffe1, 0xffe1, Key::Shift},
    {0xffe2, 0xffe2, Key::ShiftR},
    {0xffe3, 0xffe3, Key::Ctrl},
    {0xffe4, 0xffe4, Key::CtrlR},
    {0xffe5, 0xffe6, Key::CapsLock},
    {0xffe7, 0xffe7, Key::MetaL},
    {0xffe8, 0xffe8, Key::MetaR},
    {0xffe9, 0xffe9, Key::Alt},
    {0xffea, 0xffea, Key::AltR},
    {0xffeb, 0xffeb, Key::MetaL},
    {0xffec, 0xffec, Key::MetaR},
    {0xfe03, 0xfe03, Key::AltR},  // ISO_Level3_Shift
    {0xffff, 0xffff, Key::Delete},
    {0x1008ff11, 0x1008ff11, Key::Volumedown},
    {0x1008ff12, 0x1008ff12, Key::Audiomute},
    {0x1008ff13, 0x1008ff13, Key::Volumeup},
    {0x1008ff14, 0x1008ff14, Key::Audioplay},
    {0x1008ff15, 0x1008ff15, Key::Audiostop},
    {0x1008ff16, 0x1008ff16, Key::Audioprev},
    {0x1008ff17, 0x1008ff17, Key::Audionext},
    {0x1008ff18, 0x1008ff18, Key::AcHome},
    {0x1008ff19, 0x1008ff19, Key::Mail},
    {0x1008ff1d, 0x1008ff1d, Key::Calculator},
    {0x1008ff26, 0x1008ff26, Key::AcBack},
    {0x1008ff27, 0x1008ff27, Key::AcForward},
    {0x1008ff29, 0x1008ff29, Key::AcRefresh},
    {0x1008ff2a, 0x1008ff2a, Key::Power},
    {0x1008ff2b, 0x1008ff2b, Key::Wake},
    {0x1008ff2f, 0x1008ff2f, Key::Sleep},
    {0x1008ff30, 0x1008ff30, Key::AcBookmarks},
    {0x1008ff32, 0x1008ff32, Key::Mediaselect},
    {0x1008ff33, 0x1008ff33, Key::Computer},
};

// The typing keys of an American keyboard, plain and with Shift.
struct UsKey {
  Key key;
  char plain, shifted;
};
constexpr UsKey kUs[] = {
    {Key::Digit1, '1', '!'},      {Key::Digit2, '2', '@'},       {Key::Digit3, '3', '#'},
    {Key::Digit4, '4', '$'},      {Key::Digit5, '5', '%'},       {Key::Digit6, '6', '^'},
    {Key::Digit7, '7', '&'},      {Key::Digit8, '8', '*'},       {Key::Digit9, '9', '('},
    {Key::Digit0, '0', ')'},      {Key::Minus, '-', '_'},        {Key::Equal, '=', '+'},
    {Key::BracketLeft, '[', '{'}, {Key::BracketRight, ']', '}'}, {Key::Semicolon, ';', ':'},
    {Key::Apostrophe, '\'', '"'}, {Key::GraveAccent, '`', '~'},  {Key::Backslash, '\\', '|'},
    {Key::Comma, ',', '<'},       {Key::Dot, '.', '>'},          {Key::Slash, '/', '?'},
    {Key::Spc, ' ', ' '},
};

}  // namespace

Layout::Layout() {
  for (const UsKey& us : kUs) {
    add(static_cast<uint8_t>(us.plain), {us.key, 0});
    add(static_cast<uint8_t>(us.shifted), {us.key, kShiftModifier});
  }
  for (char letter = 'a'; letter <= 'z'; ++letter) {
    const Key key = *key_by_name(std::string_view(&letter, 1));
    add(static_cast<uint8_t>(letter), {key, 0});
    add(static_cast<uint8_t>(letter - 'a' + 'A'), {key, kShiftModifier});
  }
}

void Layout::add(uint32_t keysym, KeyStroke stroke) {
  std::vector<KeyStroke>& list = strokes_[keysym];
  if (std::ranges::find(list, stroke) == list.end()) list.push_back(stroke);
}

Key Layout::fixed_key(uint32_t keysym) {
  for (const FixedKey& at : kFixed) {
    if (keysym >= at.first && keysym <= at.last) {
      return static_cast<Key>(static_cast<uint32_t>(at.key) + keysym - at.first);
    }
  }
  return Key::Unmapped;
}

const std::vector<KeyStroke>& Layout::find(uint32_t keysym) const {
  static const std::vector<KeyStroke> kNone;
  auto at = strokes_.find(keysym);
  // Latin 1 has two spellings: the character itself and, as all of Unicode, with 0x01000000.
  if (at == strokes_.end() && keysym >> 8 == 0x010000) at = strokes_.find(keysym & 0xff);
  return at == strokes_.end() ? kNone : at->second;
}

}  // namespace rhea::display
