#include "devices/bridge/acpi_pm.h"

#include <utility>

#include "devices/bridge/acpi_timer.h"

namespace rhea::devices {

namespace {

constexpr unsigned kStatus = 0, kEnable = 2, kControl = 4, kTimer = 8;
// 4.8.3.1.
constexpr uint16_t kTimerEvent = 0x0001, kGlobalEvent = 0x0020, kPowerButton = 0x0100, kRtc = 0x0400,
                   kWake = 0x8000;
constexpr uint16_t kStatusBits = kTimerEvent | 0x0010 | kGlobalEvent | kPowerButton | kRtc | kWake;
constexpr uint16_t kEnableBits = kTimerEvent | kGlobalEvent | kPowerButton | kRtc;
// 4.8.3.2.
constexpr uint16_t kSciEnable = 0x0001, kSleepEnable = 0x2000, kControlBits = 0x1c03;
// The boards' sleep types, as their DSDTs say: \_S5 is 0, \_S3 is 1, \_S4 is 2.
constexpr unsigned kTypeOff = 0, kTypeSuspend = 1, kTypeHibernate = 2;

}  // namespace

AcpiPm::AcpiPm(Wiring wiring) : wiring_(std::move(wiring)), gpe_(wiring_.gpe_bytes) {
  timer_ = wiring_.clock.make_timer([this] {
    catch_up();
    update();
  });
}

void AcpiPm::reset() {
  status_ = enable_ = control_ = 0;
  gpe_.assign(gpe_.size(), 0);
  seen_half_ = acpi_timer::ticks_at(wiring_.clock.now_ns()) / acpi_timer::kHalf;
  update();
}

void AcpiPm::state(bus::StateVisitor& v) {
  v.field("status", status_);
  v.field("enable", enable_);
  v.field("control", control_);
  v.bytes("gpe", gpe_);
  v.field("seen_half", seen_half_);
  if (v.loading()) update();
}

void AcpiPm::catch_up() {
  const uint64_t half = acpi_timer::ticks_at(wiring_.clock.now_ns()) / acpi_timer::kHalf;
  if (half != seen_half_) status_ |= kTimerEvent;
  seen_half_ = half;
}

void AcpiPm::update() {
  bool level = (status_ & enable_ & kEnableBits) != 0;
  const size_t half = gpe_.size() / 2;
  for (size_t i = 0; i < half; ++i) level = level || (gpe_[i] & gpe_[i + half]) != 0;
  if (wiring_.sci) wiring_.sci(level && (control_ & kSciEnable) != 0);
  if ((enable_ & kTimerEvent) != 0 && (status_ & kTimerEvent) == 0)
    timer_->arm(acpi_timer::time_of((seen_half_ + 1) * acpi_timer::kHalf));
  else
    timer_->cancel();
}

void AcpiPm::enable_sci(bool on) {
  control_ = static_cast<uint16_t>(on ? control_ | kSciEnable : control_ & ~kSciEnable);
  update();
}

void AcpiPm::press_power_button() {
  status_ |= kPowerButton;
  update();
}

void AcpiPm::wake() {
  status_ |= kWake | kPowerButton;
  update();
}

void AcpiPm::raise_gpe(unsigned event) {
  uint8_t& cell = gpe_[event / 8 % (gpe_.size() / 2)];
  cell = static_cast<uint8_t>(cell | 1u << event % 8);
  update();
}

void AcpiPm::write_gpe(uint64_t offset, uint8_t value) {
  if (offset >= gpe_.size()) return;
  uint8_t& cell = gpe_[offset];
  cell = offset < gpe_.size() / 2 ? static_cast<uint8_t>(cell & ~value) : value;  // status: ones clear
  update();
}

uint8_t AcpiPm::read_byte(unsigned offset) {
  const unsigned shift = 8 * (offset & 1);
  switch (offset & ~1u) {
    case kStatus: catch_up(); return static_cast<uint8_t>(status_ >> shift);
    case kEnable: return static_cast<uint8_t>(enable_ >> shift);
    case kControl: return static_cast<uint8_t>(control_ >> shift);
    default: return 0;
  }
}

void AcpiPm::write_byte(unsigned offset, uint8_t value) {
  const unsigned shift = 8 * (offset & 1);
  const unsigned wide = unsigned{value} << shift;
  const unsigned keep = shift == 0 ? 0xff00 : 0x00ff;
  switch (offset & ~1u) {
    case kStatus:
      catch_up();
      status_ = static_cast<uint16_t>(status_ & ~(wide & kStatusBits));
      break;
    case kEnable:
      catch_up();
      enable_ = static_cast<uint16_t>((enable_ & keep) | (wide & kEnableBits));
      break;
    case kControl:
      control_ = static_cast<uint16_t>((control_ & keep) | (wide & (kControlBits | kSleepEnable)));
      break;
    default: break;
  }
}

void AcpiPm::control_written() {
  if ((control_ & kSleepEnable) == 0) return;
  control_ = static_cast<uint16_t>(control_ & kControlBits);
  const unsigned type = (control_ >> 10) & 7;
  if (wiring_.machine == nullptr) return;
  if (type == kTypeOff || type == kTypeHibernate) wiring_.machine->power_off();
  if (type == kTypeSuspend) wiring_.machine->suspend_to_ram();
}

uint64_t AcpiPm::read(uint64_t offset, unsigned size) {
  uint64_t value = 0;
  const uint64_t ticks = acpi_timer::ticks_at(wiring_.clock.shown_ns()) & acpi_timer::kMask;
  for (unsigned i = 0; i < size; ++i) {
    const unsigned at = static_cast<unsigned>(offset) + i;
    const bool timer = at >= kTimer && at < kTimer + 4;
    value |= (timer ? ticks >> (8 * (at - kTimer)) & 0xff : uint64_t{read_byte(at)}) << (8 * i);
  }
  return value;
}

void AcpiPm::write(uint64_t offset, unsigned size, uint64_t value) {
  bool control = false;
  for (unsigned i = 0; i < size; ++i) {
    const unsigned at = static_cast<unsigned>(offset) + i;
    write_byte(at, static_cast<uint8_t>(value >> (8 * i)));
    control = control || at == kControl + 1;
  }
  update();
  if (control) control_written();
}

}  // namespace rhea::devices
