#include "devices/usb/usb_keyboard.h"

namespace rhea::devices {

namespace {

constexpr uint8_t kFirstModifier = 0xe0, kLastModifier = 0xe7, kRollOver = 1;
constexpr unsigned kKeysInReport = 6;

// B.1, with all usages of the page.
std::vector<uint8_t> report_descriptor() {
  return bus::usb::bytes({
      0x05, 0x01, 0x09, 0x06, 0xa1, 0x01,                                      // keyboard application
      0x75, 0x01, 0x95, 0x08, 0x05, 0x07, 0x19, 0xe0, 0x29, 0xe7,              // eight modifiers
      0x15, 0x00, 0x25, 0x01, 0x81, 0x02,                                      //
      0x95, 0x01, 0x75, 0x08, 0x81, 0x01,                                      // a reserved byte
      0x95, 0x05, 0x75, 0x01, 0x05, 0x08, 0x19, 0x01, 0x29, 0x05, 0x91, 0x02,  // five indicators
      0x95, 0x01, 0x75, 0x03, 0x91, 0x01,                                      //
      0x95, 0x06, 0x75, 0x08, 0x15, 0x00, 0x26, 0xff, 0x00,                    // six keys
      0x05, 0x07, 0x19, 0x00, 0x29, 0xff, 0x81, 0x00, 0xc0,
  });
}

}  // namespace

UsbKeyboard::UsbKeyboard(const Wiring& wiring)
    : HidDevice(wiring.clock, {.product = "QEMU USB Keyboard",
                               .subclass = 1,
                               .protocol = 1,
                               .report_size = 8,
                               .report_descriptor = report_descriptor()}),
      hub_(wiring.hub) {
  if (hub_ != nullptr) hub_->add(*this);
}

UsbKeyboard::~UsbKeyboard() {
  if (hub_ != nullptr) hub_->remove(*this);
}

void UsbKeyboard::key(display::Key key, bool down) {
  uint8_t usage = display::key_codes(key).usb;
  if (usage == 0 || !configured()) return;
  if (count_ == kQueue) return;  // nobody polls: what is typed is lost, as on a full PS/2 queue
  unsigned at = (head_ + count_) % kQueue;
  usages_[at] = usage;
  downs_ = (downs_ & ~(1u << at)) | (down ? 1u << at : 0u);
  ++count_;
  changed();
}

void UsbKeyboard::apply(uint8_t usage, bool down) {
  uint8_t& byte = usage >= kFirstModifier && usage <= kLastModifier ? modifiers_ : pressed_[usage >> 3];
  auto bit = static_cast<uint8_t>(1u << (usage & 7));
  byte = static_cast<uint8_t>(down ? byte | bit : byte & ~bit);
}

bool UsbKeyboard::next_report(std::vector<uint8_t>& report) {
  if (count_ == 0) return false;
  apply(usages_[head_], (downs_ >> head_ & 1) != 0);
  head_ = static_cast<uint8_t>((head_ + 1) % kQueue);
  --count_;
  report = current_report();
  return true;
}

std::vector<uint8_t> UsbKeyboard::current_report() const {
  std::vector<uint8_t> report = {modifiers_, 0};
  for (unsigned usage = 4; usage < 256; ++usage) {
    if ((pressed_[usage >> 3] >> (usage & 7) & 1) != 0) report.push_back(static_cast<uint8_t>(usage));
  }
  if (report.size() > 2 + kKeysInReport) report.assign(2 + kKeysInReport, kRollOver);
  report.resize(2 + kKeysInReport);
  report[0] = modifiers_;
  report[1] = 0;
  return report;
}

bool UsbKeyboard::take_output(std::span<const uint8_t> report) {
  if (report.empty()) return false;
  leds_ = report[0] & 0x1f;
  if (hub_ == nullptr) return true;
  // HID counts num, caps, scroll from bit 0.
  unsigned leds = ((leds_ & 1) != 0 ? display::kNumLed : 0) | ((leds_ & 2) != 0 ? display::kCapsLed : 0) |
                  ((leds_ & 4) != 0 ? display::kScrollLed : 0);
  hub_->set_indicators(*this, leds);
  return true;
}

void UsbKeyboard::configuration_changed() {
  forget_keys();
  if (hub_ == nullptr) return;
  if (configured()) {
    hub_->activate(*this);
  } else {
    hub_->deactivate(*this);
  }
}

void UsbKeyboard::forget_keys() {
  head_ = count_ = modifiers_ = leds_ = 0;
  pressed_ = {};
}

void UsbKeyboard::reset(bus::ResetKind kind) {
  HidDevice::reset(kind);
  usages_ = {};
  downs_ = 0;
}

void UsbKeyboard::state(bus::StateVisitor& v) {
  HidDevice::state(v);
  v.bytes("usages", usages_);
  v.field("downs", downs_);
  v.field("head", head_);
  v.field("count", count_);
  v.field("modifiers", modifiers_);
  v.bytes("pressed", pressed_);
  v.field("leds", leds_);
  if (!v.loading()) return;
  head_ %= kQueue;
  if (count_ > kQueue) count_ = kQueue;
  leds_ &= 0x1f;
}

}  // namespace rhea::devices
