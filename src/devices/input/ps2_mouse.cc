#include "devices/input/ps2_mouse.h"

#include <algorithm>

namespace rhea::devices {

namespace {

enum Command : uint8_t {
  kScaling1 = 0xe6,
  kScaling2 = 0xe7,
  kResolution = 0xe8,
  kStatus = 0xe9,
  kStream = 0xea,
  kReadData = 0xeb,
  kResetWrap = 0xec,
  kWrap = 0xee,
  kRemote = 0xf0,
  kIdentify = 0xf2,
  kRate = 0xf3,
  kEnable = 0xf4,
  kDisable = 0xf5,
  kDefaults = 0xf6,
  kReset = 0xff,
};

constexpr uint8_t kWheelId = 3, kFiveButtonId = 4;
constexpr int32_t kFarthest = 1 << 20;
constexpr uint8_t kButtonBits[display::kButtonCount] = {1, 4, 2, 8, 16};

void add_to(int32_t& sum, int by) {
  sum = std::clamp(sum + std::clamp(by, -kFarthest, kFarthest), -kFarthest, kFarthest);
}

}  // namespace

Ps2Mouse::Ps2Mouse(display::InputHub* hub) : hub_(hub) {
  if (hub_ != nullptr) hub_->add(*this);
  reset();
}

Ps2Mouse::~Ps2Mouse() {
  if (hub_ != nullptr) hub_->remove(*this);
}

void Ps2Mouse::defaults() {
  rate_ = 100;
  resolution_ = 2;
  scaling_ = reporting_ = remote_ = wrap_ = false;
  pending_ = unlock_ = 0;
  dx_ = dy_ = dz_ = 0;
}

void Ps2Mouse::reset() {
  clear();
  defaults();
  id_ = 0;
  buttons_ = sent_buttons_ = 0;
}

void Ps2Mouse::state(bus::StateVisitor& v) {
  v.enter("mouse");
  visit_queue(v);
  v.field("dx", dx_);
  v.field("dy", dy_);
  v.field("dz", dz_);
  v.field("pending", pending_);
  v.field("id", id_);
  v.field("rate", rate_);
  v.field("resolution", resolution_);
  v.field("buttons", buttons_);
  v.field("sent_buttons", sent_buttons_);
  v.field("unlock", unlock_);
  v.field("reporting", reporting_);
  v.field("remote", remote_);
  v.field("wrap", wrap_);
  v.field("scaling", scaling_);
  v.leave();
  for (int32_t* d : {&dx_, &dy_, &dz_}) *d = std::clamp(*d, -kFarthest, kFarthest);
}

void Ps2Mouse::rate_set(uint8_t rate) {
  rate_ = rate;
  // unlock_: 0 nothing, 1 after 200, 2 after 200 100, 3 after 200 200.
  if (unlock_ == 1 && rate == 100) {
    unlock_ = 2;
  } else if (unlock_ == 1 && rate == 200) {
    unlock_ = 3;
  } else if (rate == 80 && unlock_ >= 2) {
    id_ = unlock_ == 2 ? kWheelId : kFiveButtonId;
    unlock_ = 0;
  } else {
    unlock_ = rate == 200 ? 1 : 0;
  }
}

void Ps2Mouse::argument(uint8_t byte) {
  const uint8_t what = pending_;
  pending_ = 0;
  if (what == kRate) rate_set(byte);
  if (what == kResolution) resolution_ = byte & 3;
  answer(kAck);
}

void Ps2Mouse::report_status() {
  const unsigned buttons = (buttons_ & 1u) << 2 | (buttons_ & 4u) >> 1 | (buttons_ & 2u) >> 1;
  answer(
      static_cast<uint8_t>((remote_ ? 0x40 : 0) | (reporting_ ? 0x20 : 0) | (scaling_ ? 0x10 : 0) | buttons));
  answer(resolution_);
  answer(rate_);
}

void Ps2Mouse::command(uint8_t byte) {
  if (wrap_ && byte != kResetWrap && byte != kReset) {
    answer(byte);
    return;
  }
  if (pending_ != 0) {
    argument(byte);
    return;
  }
  if (byte == kReset) {
    reset();
    answer(kAck);
    answer(kPassed);
    answer(id_);
    return;
  }
  const bool known = (byte >= kScaling1 && byte <= kResetWrap) || byte == kWrap || byte == kRemote ||
                     (byte >= kIdentify && byte <= kDefaults);
  answer(known ? kAck : kResend);
  switch (byte) {
    case kScaling1: scaling_ = false; break;
    case kScaling2: scaling_ = true; break;
    case kResolution:
    case kRate: pending_ = byte; break;
    case kStatus: report_status(); break;
    case kStream: remote_ = false; break;
    case kReadData: send_packet(true); break;
    case kResetWrap: wrap_ = false; break;
    case kWrap: wrap_ = true; break;
    case kRemote: remote_ = true; break;
    case kIdentify: answer(id_); break;
    case kEnable: reporting_ = true; break;
    case kDisable: reporting_ = false; break;
    case kDefaults: defaults(); break;
    default: break;
  }
}

void Ps2Mouse::send_packet(bool as_answer) {
  const int x = std::clamp(dx_, -255, 255);
  const int y = std::clamp(dy_, -255, 255);
  const int z = std::clamp(dz_, -8, 7);
  dx_ -= x;
  dy_ -= y;
  dz_ -= z;
  sent_buttons_ = buttons_;
  const auto say = [&](int value) {
    as_answer ? answer(static_cast<uint8_t>(value)) : input(static_cast<uint8_t>(value));
  };
  say(8 | (buttons_ & 7) | (x < 0 ? 0x10 : 0) | (y < 0 ? 0x20 : 0));
  say(x);
  say(y);
  if (id_ == kWheelId) say(z);
  if (id_ == kFiveButtonId) say((z & 15) | (buttons_ & 0x18) << 1);
}

void Ps2Mouse::motion(int dx, int dy) {
  if (!reporting_) return;
  add_to(dx_, dx);
  add_to(dy_, -std::clamp(dy, -kFarthest, kFarthest));
}

void Ps2Mouse::button(display::Button button, bool down) {
  const uint8_t bit = kButtonBits[static_cast<unsigned>(button) % display::kButtonCount];
  const auto before = buttons_;
  buttons_ = static_cast<uint8_t>(down ? buttons_ | bit : buttons_ & ~bit);
  // A press and its release are two reports even when nobody has asked for one in between.
  if (before != buttons_) sync();
}

void Ps2Mouse::wheel(int dz, int) {
  if (reporting_ && id_ != 0) add_to(dz_, dz);
}

void Ps2Mouse::signal() {
  if (!reporting_) return;
  add_to(dx_, 1);
  sync();
}

void Ps2Mouse::sync() {
  while (reporting_ && !remote_ && moved() && has_room(4)) send_packet(false);
}

}  // namespace rhea::devices
