// The keys of a PC keyboard, named as in QEMU's QKeyCode, and their codes on the wires a key can travel on.
//
// Scan code sets 1 to 3: IBM PS/2 Hardware Interface Technical Reference, keyboard; the keys of later
// keyboards: Microsoft, "Keyboard Scan Code Specification" 1.3a. USB: HID Usage Tables, Keyboard/Keypad page
// (0x07). "qnum" is the set 1 code in one byte, 0x80 added for codes after 0xe0: what QMP calls number and
// what VNC's extended key event carries.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace rhea::display {

enum class Key : uint8_t {
  Unmapped,
  Shift,
  ShiftR,
  Alt,
  AltR,
  Ctrl,
  CtrlR,
  Menu,
  Esc,
  Digit1,
  Digit2,
  Digit3,
  Digit4,
  Digit5,
  Digit6,
  Digit7,
  Digit8,
  Digit9,
  Digit0,
  Minus,
  Equal,
  Backspace,
  Tab,
  Q,
  W,
  E,
  R,
  T,
  Y,
  U,
  I,
  O,
  P,
  BracketLeft,
  BracketRight,
  Ret,
  A,
  S,
  D,
  F,
  G,
  H,
  J,
  K,
  L,
  Semicolon,
  Apostrophe,
  GraveAccent,
  Backslash,
  Z,
  X,
  C,
  V,
  B,
  N,
  M,
  Comma,
  Dot,
  Slash,
  Asterisk,
  Spc,
  CapsLock,
  F1,
  F2,
  F3,
  F4,
  F5,
  F6,
  F7,
  F8,
  F9,
  F10,
  NumLock,
  ScrollLock,
  KpDivide,
  KpMultiply,
  KpSubtract,
  KpAdd,
  KpEnter,
  KpDecimal,
  Sysrq,
  Kp0,
  Kp1,
  Kp2,
  Kp3,
  Kp4,
  Kp5,
  Kp6,
  Kp7,
  Kp8,
  Kp9,
  Less,
  F11,
  F12,
  Print,
  Home,
  Pgup,
  Pgdn,
  End,
  Left,
  Up,
  Down,
  Right,
  Insert,
  Delete,
  Stop,
  Again,
  Props,
  Undo,
  Front,
  Copy,
  Open,
  Paste,
  Find,
  Cut,
  Lf,
  Help,
  MetaL,
  MetaR,
  Compose,
  Pause,
  Ro,
  Hiragana,
  Henkan,
  Yen,
  Muhenkan,
  Katakanahiragana,
  KpComma,
  KpEquals,
  Power,
  Sleep,
  Wake,
  Audionext,
  Audioprev,
  Audiostop,
  Audioplay,
  Audiomute,
  Volumeup,
  Volumedown,
  Mediaselect,
  Mail,
  Calculator,
  Computer,
  AcHome,
  AcBack,
  AcForward,
  AcRefresh,
  AcBookmarks,
  Lang1,
  Lang2,
  F13,
  F14,
  F15,
  F16,
  F17,
  F18,
  F19,
  F20,
  F21,
  F22,
  F23,
  F24,
};
inline constexpr unsigned kKeyCount = static_cast<unsigned>(Key::F24) + 1;

// The codes of one key; 0 where a wire has none.
struct KeyCodes {
  Key key;
  std::string_view name;  // QKeyCode
  uint8_t qnum;
  uint16_t set2;  // 0xe0xx for extended keys; Pause, which has a sequence of its own, is 0xe07e as with Ctrl
  uint8_t set3;
  uint8_t usb;  // usage ID on the Keyboard/Keypad page

  // Set 1, 0xe0xx for extended keys.
  uint16_t set1() const { return static_cast<uint16_t>((qnum & 0x80) != 0 ? 0xe000 | (qnum & 0x7f) : qnum); }
};

const KeyCodes& key_codes(Key key);
inline std::string_view key_name(Key key) {
  return key_codes(key).name;
}

// "ret", "kp_0", "ctrl_r".
std::optional<Key> key_by_name(std::string_view name);
// A key as `sendkey` takes it: a name, "<" for less, or a qnum in hexadecimal ("0x1c").
std::optional<Key> key_by_word(std::string_view word);
std::optional<Key> key_by_qnum(uint32_t qnum);
std::optional<Key> key_by_usb(uint32_t usage);

}  // namespace rhea::display
