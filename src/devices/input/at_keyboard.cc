#include "devices/input/at_keyboard.h"

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
  kAllMakeBreak = 0xfa,
  kKeyTypematic = 0xfb,
  kKeyMakeBreak = 0xfc,
  kKeyMake = 0xfd,
  kResendLast = 0xfe,
  kReset = 0xff,
};

}  // namespace

void AtKeyboard::defaults() {
  typematic_ = 0x2b;
  scan_set_ = 2;
  pending_ = 0;
}

void AtKeyboard::reset() {
  clear();
  defaults();
  indicators_ = 0;
  scanning_ = true;
}

void AtKeyboard::state(bus::StateVisitor& v) {
  v.enter("keyboard");
  visit_queue(v);
  v.field("pending", pending_);
  v.field("indicators", indicators_);
  v.field("scan_set", scan_set_);
  v.field("typematic", typematic_);
  v.field("scanning", scanning_);
  v.leave();
}

void AtKeyboard::argument(uint8_t byte) {
  const uint8_t what = pending_;
  pending_ = 0;
  answer(kAck);
  switch (what) {
    case kIndicators: indicators_ = byte & 7; break;
    case kTypematic: typematic_ = byte & 0x7f; break;
    case kScanSet:
      if (byte == 0) answer(scan_set_);
      if (byte >= 1 && byte <= 3) scan_set_ = byte;
      break;
    default: break;
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
    case kEnable:
      clear();
      scanning_ = true;
      answer(kAck);
      break;
    case kDisable:
      clear();
      defaults();
      scanning_ = false;
      answer(kAck);
      break;
    case kDefaults:
      clear();
      defaults();
      scanning_ = true;
      answer(kAck);
      break;
    case kReset:
      reset();
      answer(kAck);
      answer(kPassed);
      break;
    default: answer(byte >= kAllTypematic && byte <= kKeyMake ? kAck : kResend); break;
  }
}

void AtKeyboard::key(uint16_t code, bool down) {
  const uint8_t low = static_cast<uint8_t>(code);
  const bool extended = code >> 8 == 0xe0;
  if (!scanning_ || !has_room(3)) return;
  if (extended) answer(0xe0);
  if (!down) answer(0xf0);
  answer(low);
}

}  // namespace rhea::devices
