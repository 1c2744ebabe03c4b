#include "devices/input/at_keyboard.h"

#include <algorithm>

namespace rhea::devices {

namespace {

enum Command : uint8_t {
  kIndicators = 0xed,
  kEcho = 0xee,
  kScanSet = 0xf0,
  kIdentify = 0xf2,
  kTypematic = 0xf3,
  kEnable = 0xf4,
  kDisable = 0xf5,
  kDefaults = 0xf6,
  kAllTypematic = 0xf7,
  kAllMakeBreak = 0xf8,
  kAllMake = 0xf9,
  kAllTypematicMakeBreak = 0xfa,
  kKeyTypematic = 0xfb,
  kKeyMakeBreak = 0xfc,
  kKeyMake = 0xfd,
  kResendLast = 0xfe,
  kReset = 0xff,
};

// Codes of set 3 whose release is reported by default: left Ctrl, both Shifts, Caps Lock, left Alt.
constexpr uint8_t kSet3Breaks[] = {0x11, 0x12, 0x14, 0x19, 0x59};

using display::Key;

}  // namespace

AtKeyboard::AtKeyboard(display::InputHub* hub) : hub_(hub) {
  if (hub_ != nullptr) hub_->add(*this);
  reset();
}

AtKeyboard::~AtKeyboard() {
  if (hub_ != nullptr) hub_->remove(*this);
}

void AtKeyboard::set_all_breaks(bool on) {
  set3_breaks_.fill(on ? 0xff : 0);
}

void AtKeyboard::set_break(uint8_t code, bool on) {
  const auto bit = static_cast<uint8_t>(1u << (code & 7));
  uint8_t& bits = set3_breaks_[code >> 3];
  bits = static_cast<uint8_t>(on ? bits | bit : bits & ~bit);
}

void AtKeyboard::defaults() {
  typematic_ = 0x2b;
  scan_set_ = 2;
  pending_ = 0;
  set_all_breaks(false);
  for (const uint8_t code : kSet3Breaks) set_break(code, true);
}

void AtKeyboard::set_indicators(uint8_t value) {
  indicators_ = value & 7;
  if (hub_ != nullptr) hub_->set_indicators(*this, indicators_);
}

void AtKeyboard::reset() {
  clear();
  defaults();
  set_indicators(0);
  scanning_ = true;
  alt_ = ctrl_ = false;
}

void AtKeyboard::state(bus::StateVisitor& v) {
  v.enter("keyboard");
  visit_queue(v);
  v.field("pending", pending_);
  v.field("indicators", indicators_);
  v.field("scan_set", scan_set_);
  v.field("typematic", typematic_);
  v.field("scanning", scanning_);
  v.field("alt", alt_);
  v.field("ctrl", ctrl_);
  v.bytes("set3_breaks", set3_breaks_);
  v.leave();
  if (!v.loading()) return;
  scan_set_ = std::clamp<uint8_t>(scan_set_, 1, 3);
  set_indicators(indicators_);
}

void AtKeyboard::argument(uint8_t byte) {
  const uint8_t what = pending_;
  pending_ = 0;
  answer(kAck);
  switch (what) {
    case kIndicators: set_indicators(byte); break;
    case kTypematic: typematic_ = byte & 0x7f; break;
    case kScanSet:
      if (byte == 0) answer(scan_set_);
      if (byte >= 1 && byte <= 3) scan_set_ = byte;
      break;
    default:  // kKeyTypematic and those after it take codes until the next command
      set_break(byte, what == kKeyMakeBreak);
      pending_ = what;
      break;
  }
}

void AtKeyboard::command(uint8_t byte) {
  if (pending_ != 0 && byte < kIndicators) {
    argument(byte);
    return;
  }
  pending_ = 0;
  switch (byte) {
    case kIndicators:
    case kScanSet:
    case kTypematic:
    case kKeyTypematic:
    case kKeyMakeBreak:
    case kKeyMake:
      pending_ = byte;
      answer(kAck);
      break;
    case kEcho: answer(kEcho); break;
    case kIdentify:
      answer(kAck);
      answer(0xab);
      answer(0x83);
      break;
    case kAllTypematic:
    case kAllMake:
    case kAllMakeBreak:
    case kAllTypematicMakeBreak:
      set_all_breaks(byte == kAllMakeBreak || byte == kAllTypematicMakeBreak);
      answer(kAck);
      break;
    case kEnable:
      clear_input();
      scanning_ = true;
      answer(kAck);
      break;
    case kDisable:
      clear_input();
      defaults();
      scanning_ = false;
      answer(kAck);
      break;
    case kDefaults:
      clear_input();
      defaults();
      scanning_ = true;
      answer(kAck);
      break;
    case kReset:
      reset();
      answer(kAck);
      answer(kPassed);
      break;
    default: answer(kResend); break;
  }
}

void AtKeyboard::send(std::initializer_list<uint8_t> bytes, bool down) {
  if (!has_room(static_cast<unsigned>(bytes.size()), down ? kInputDepth : kReleaseDepth)) return;
  for (const uint8_t byte : bytes) input(byte);
}

// A code of set 1 or 2 that may have the prefix 0xe0.
void AtKeyboard::send_code(uint16_t code, bool down) {
  const auto low = static_cast<uint8_t>(code);
  const bool extended = code >> 8 == 0xe0;
  if (scan_set_ == 1) {
    const auto byte = static_cast<uint8_t>(down ? low : low | 0x80);
    extended ? send({0xe0, byte}, down) : send({byte}, down);
  } else if (down) {
    extended ? send({0xe0, low}, down) : send({low}, down);
  } else {
    extended ? send({0xe0, 0xf0, low}, down) : send({0xf0, low}, down);
  }
}

void AtKeyboard::send_set3(uint8_t code, bool down) {
  if (down) {
    send({code}, down);
  } else if ((set3_breaks_[code >> 3] >> (code & 7) & 1) != 0) {
    send({0xf0, code}, down);
  }
}

// Keys of sets 1 and 2 with sequences of their own. Returns whether this was one.
bool AtKeyboard::special(Key key, bool down) {
  const bool one = scan_set_ == 1;
  if (key == Key::Pause && ctrl_) {
    if (!down) return true;
    one ? send({0xe0, 0x46, 0xe0, 0xc6}, down) : send({0xe0, 0x7e, 0xe0, 0xf0, 0x7e}, down);
  } else if (key == Key::Pause) {
    if (!down) return true;
    one ? send({0xe1, 0x1d, 0x45, 0xe1, 0x9d, 0xc5}, down)
        : send({0xe1, 0x14, 0x77, 0xe1, 0xf0, 0x14, 0xf0, 0x77}, down);
  } else if (key == Key::Print && alt_) {
    send_code(one ? 0x54 : 0x84, down);
  } else if (key == Key::Print && one) {
    down ? send({0xe0, 0x2a, 0xe0, 0x37}, down) : send({0xe0, 0xb7, 0xe0, 0xaa}, down);
  } else if (key == Key::Print) {
    down ? send({0xe0, 0x12, 0xe0, 0x7c}, down) : send({0xe0, 0xf0, 0x7c, 0xe0, 0xf0, 0x12}, down);
  } else if (key == Key::Lang1 || key == Key::Lang2) {  // Korean keyboards: one code, no release
    if (down) send({static_cast<uint8_t>(key == Key::Lang1 ? 0xf2 : 0xf1)}, down);
  } else {
    return false;
  }
  return true;
}

void AtKeyboard::key(Key key, bool down) {
  if (key == Key::Alt || key == Key::AltR) alt_ = down;
  if (key == Key::Ctrl || key == Key::CtrlR) ctrl_ = down;
  const display::KeyCodes& codes = display::key_codes(key);
  if (!scanning_) return;
  if (scan_set_ == 3) {
    if (codes.set3 != 0) send_set3(codes.set3, down);
  } else if (!special(key, down)) {
    const uint16_t code = scan_set_ == 1 ? codes.set1() : codes.set2;
    if (code != 0) send_code(code, down);
  }
}

}  // namespace rhea::devices
