#include "devices/usb/usb_pointer.h"

#include <algorithm>

namespace rhea::devices {

namespace {

// Bits of a report by display::Button: left, right and middle come first in HID.
constexpr uint8_t kButtonBits[display::kButtonCount] = {1, 4, 2, 8, 16};
constexpr int kMostMotion = 127, kMostSum = 1 << 20;

// Five buttons in bits 0..4, then X, Y and the wheel; `places` makes X and Y absolute, 16 bits each.
std::vector<uint8_t> report_descriptor(bool places) {
  std::vector<uint8_t> out = bus::usb::bytes({
      0x05, 0x01, 0x09, 0x02, 0xa1, 0x01, 0x09, 0x01, 0xa1, 0x00,                          // mouse, pointer
      0x05, 0x09, 0x19, 0x01, 0x29, 0x05, 0x15, 0x00, 0x25, 0x01, 0x95, 0x05, 0x75, 0x01,  // buttons
      0x81, 0x02, 0x95, 0x01, 0x75, 0x03, 0x81, 0x01,                                      //
      0x05, 0x01, 0x09, 0x30, 0x09, 0x31,                                                  // X, Y
  });
  std::vector<uint8_t> axes =
      places ? bus::usb::bytes({0x15, 0x00, 0x26, 0xff, 0x7f, 0x35, 0x00, 0x46, 0xff, 0x7f, 0x75, 0x10, 0x95,
                                0x02, 0x81, 0x02})
             : bus::usb::bytes({0x15, 0x81, 0x25, 0x7f, 0x75, 0x08, 0x95, 0x02, 0x81, 0x06});
  std::vector<uint8_t> wheel = bus::usb::bytes({0x05, 0x01, 0x09, 0x38, 0x15, 0x81, 0x25, 0x7f, 0x35, 0x00,
                                                0x45, 0x00, 0x75, 0x08, 0x95, 0x01, 0x81, 0x06, 0xc0, 0xc0});
  out.insert(out.end(), axes.begin(), axes.end());
  out.insert(out.end(), wheel.begin(), wheel.end());
  return out;
}

uint8_t clamped(int32_t value) {
  return static_cast<uint8_t>(static_cast<int8_t>(std::clamp(value, -kMostMotion, kMostMotion)));
}

}  // namespace

UsbPointer::UsbPointer(const Wiring& wiring)
    : HidDevice(wiring.clock, {.product = wiring.form == Form::Tablet ? "QEMU USB Tablet" : "QEMU USB Mouse",
                               .subclass = static_cast<uint8_t>(wiring.form == Form::Tablet ? 0 : 1),
                               .protocol = static_cast<uint8_t>(wiring.form == Form::Tablet ? 0 : 2),
                               .report_size = static_cast<uint8_t>(wiring.form == Form::Tablet ? 8 : 4),
                               .report_descriptor = report_descriptor(wiring.form == Form::Tablet)}),
      form_(wiring.form),
      hub_(wiring.hub) {
  if (hub_ != nullptr) hub_->add(*this);
}

UsbPointer::~UsbPointer() {
  if (hub_ != nullptr) hub_->remove(*this);
}

void UsbPointer::motion(int dx, int dy) {
  if (tablet()) return;
  now_.x = std::clamp(now_.x + std::clamp(dx, -kMostSum, kMostSum), -kMostSum, kMostSum);
  now_.y = std::clamp(now_.y + std::clamp(dy, -kMostSum, kMostSum), -kMostSum, kMostSum);
  dirty_ = true;
}

void UsbPointer::place(int x, int y) {
  if (!tablet()) return;
  now_.x = std::clamp(x, 0, display::kMaxPlace);
  now_.y = std::clamp(y, 0, display::kMaxPlace);
  dirty_ = true;
}

void UsbPointer::button(display::Button button, bool down) {
  auto index = static_cast<unsigned>(button);
  if (index >= display::kButtonCount) return;
  uint8_t bit = kButtonBits[index];
  now_.buttons = static_cast<uint8_t>(down ? now_.buttons | bit : now_.buttons & ~bit);
  dirty_ = true;
}

void UsbPointer::wheel(int dz, int) {
  now_.wheel = std::clamp(now_.wheel - std::clamp(dz, -kMostSum, kMostSum), -kMostSum, kMostSum);
  dirty_ = true;
}

// Motion with the same buttons joins the last report that waits; so it does when there is no room.
void UsbPointer::sync() {
  if (!dirty_ || !configured()) return;
  dirty_ = false;
  if (count_ != 0 && (last().buttons == now_.buttons || count_ == kQueue)) {
    Event& event = last();
    event.buttons = now_.buttons;
    event.wheel = std::clamp(event.wheel + now_.wheel, -kMostSum, kMostSum);
    event.x = tablet() ? now_.x : std::clamp(event.x + now_.x, -kMostSum, kMostSum);
    event.y = tablet() ? now_.y : std::clamp(event.y + now_.y, -kMostSum, kMostSum);
  } else {
    ++count_;
    last() = now_;
  }
  now_.wheel = 0;
  if (!tablet()) now_.x = now_.y = 0;
  changed();
}

// Motion beyond what a report can say stays for the next one.
bool UsbPointer::next_report(std::vector<uint8_t>& report) {
  if (count_ == 0) return false;
  Event& event = queue_[head_];
  reported_ = event;
  report = report_of(event);
  auto rest = [](int32_t& value) { value -= std::clamp(value, -kMostMotion, kMostMotion); };
  rest(event.wheel);
  if (!tablet()) {
    rest(event.x);
    rest(event.y);
  }
  bool more = event.wheel != 0 || (!tablet() && (event.x != 0 || event.y != 0));
  if (more) return true;
  head_ = static_cast<uint8_t>((head_ + 1) % kQueue);
  --count_;
  return true;
}

std::vector<uint8_t> UsbPointer::current_report() const {
  Event event = reported_;
  event.wheel = 0;
  if (!tablet()) event.x = event.y = 0;
  return report_of(event);
}

std::vector<uint8_t> UsbPointer::report_of(const Event& e) const {
  if (tablet()) {
    return {e.buttons,
            static_cast<uint8_t>(e.x),
            static_cast<uint8_t>(e.x >> 8),
            static_cast<uint8_t>(e.y),
            static_cast<uint8_t>(e.y >> 8),
            clamped(e.wheel)};
  }
  std::vector<uint8_t> report = {e.buttons, clamped(e.x), clamped(e.y), clamped(e.wheel)};
  if (boot_protocol()) report.resize(3);
  return report;
}

void UsbPointer::configuration_changed() {
  head_ = count_ = 0;
  now_ = {};
  reported_ = {};
  dirty_ = false;
  if (hub_ == nullptr) return;
  if (configured()) {
    hub_->activate(*this);
  } else {
    hub_->deactivate(*this);
  }
}

void UsbPointer::reset(bus::ResetKind kind) {
  HidDevice::reset(kind);
  queue_ = {};
}

void UsbPointer::state(bus::StateVisitor& v) {
  HidDevice::state(v);
  auto visit = [this, &v](Event& event) {
    v.field("buttons", event.buttons);
    v.field("x", event.x);
    v.field("y", event.y);
    v.field("wheel", event.wheel);
    int low = tablet() ? 0 : -kMostSum, high = tablet() ? display::kMaxPlace : kMostSum;
    event.x = std::clamp(event.x, low, high);
    event.y = std::clamp(event.y, low, high);
    event.wheel = std::clamp(event.wheel, -kMostSum, kMostSum);
    event.buttons &= 0x1f;
  };
  for (Event& event : queue_) visit(event);
  visit(now_);
  visit(reported_);
  v.field("head", head_);
  v.field("count", count_);
  v.field("dirty", dirty_);
  if (!v.loading()) return;
  head_ %= kQueue;
  if (count_ > kQueue) count_ = kQueue;
}

}  // namespace rhea::devices
