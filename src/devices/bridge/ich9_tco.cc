#include "devices/bridge/ich9_tco.h"

#include <algorithm>
#include <utility>

namespace rhea::devices {

namespace {

// 13.9.
constexpr unsigned kReload = 0x00, kStatus1 = 0x04, kStatus2 = 0x06, kControl1 = 0x08, kControl2 = 0x0a,
                   kInterruptLine = 0x10, kTimer = 0x12;
constexpr int64_t kTick = 600'000'000;                        // ns
constexpr uint8_t kTimeout = 0x08;                            // in TCO1_STS
constexpr uint8_t kSecondTimeout = 0x02, kBootStatus = 0x04;  // in TCO2_STS
constexpr uint8_t kHalt = 0x08, kLock = 0x10;                 // in the second byte of TCO1_CNT

}  // namespace

Ich9Tco::Ich9Tco(Wiring wiring) : wiring_(std::move(wiring)) {
  timer_ = wiring_.clock.make_timer([this] { expired(); });
  reset();
}

void Ich9Tco::reset() {
  std::fill(std::begin(bytes_), std::end(bytes_), uint8_t{0});
  bytes_[kControl2] = 0x08;
  bytes_[kInterruptLine] = 0x03;
  bytes_[kTimer] = 0x04;
  once_ = false;
  deadline_ = 0;
  timer_->cancel();
}

void Ich9Tco::state(bus::StateVisitor& v) {
  v.bytes("tco", bytes_);
  v.field("tco_deadline", deadline_);
  v.field("tco_once", once_);
  if (!v.loading()) return;
  timer_->cancel();
  if (deadline_ > 0 && !halted()) timer_->arm(std::max(deadline_, wiring_.clock.now_ns() + kTick));
}

bool Ich9Tco::halted() const {
  return (bytes_[kControl1 + 1] & kHalt) != 0;
}

uint16_t Ich9Tco::left() const {
  if (deadline_ == 0) return static_cast<uint16_t>(bytes_[kTimer] | bytes_[kTimer + 1] << 8) & 0x3ff;
  const int64_t ns = std::max<int64_t>(deadline_ - wiring_.clock.now_ns(), 0);
  return static_cast<uint16_t>(ns / kTick) & 0x3ff;
}

void Ich9Tco::rearm() {
  const unsigned ticks = (bytes_[kTimer] | static_cast<unsigned>(bytes_[kTimer + 1]) << 8) & 0x3ff;
  deadline_ = wiring_.clock.now_ns() + static_cast<int64_t>(std::max(ticks, 2u)) * kTick;
  timer_->arm(deadline_);
}

void Ich9Tco::expired() {
  bytes_[kStatus1] |= kTimeout;
  if (!once_) {
    once_ = true;
    rearm();
    if (wiring_.first_time) wiring_.first_time();
    return;
  }
  once_ = false;
  deadline_ = 0;
  bytes_[kStatus2] |= kSecondTimeout | kBootStatus;
  if (wiring_.second_time) wiring_.second_time();
}

uint8_t Ich9Tco::read_byte(unsigned offset) const {
  if (offset == kReload) return static_cast<uint8_t>(left());
  if (offset == kReload + 1) return static_cast<uint8_t>(left() >> 8);
  return bytes_[offset];
}

void Ich9Tco::write_byte(unsigned offset, uint8_t value) {
  uint8_t& cell = bytes_[offset];
  switch (offset) {
    case kReload:
      once_ = false;
      if (!halted()) rearm();
      return;
    case kReload + 1: return;
    case kStatus1:
    case kStatus1 + 1:
    case kStatus2:
    case kStatus2 + 1: cell = static_cast<uint8_t>(cell & ~value); return;
    case kControl1 + 1: {
      const bool was = halted();
      if ((cell & kLock) != 0) value |= kLock;
      cell = value;
      if (halted() && !was) {
        timer_->cancel();
        deadline_ = 0;
      }
      if (!halted() && was) rearm();
      return;
    }
    case kTimer + 1: cell = value & 0x03; return;
    default: cell = value; return;
  }
}

uint64_t Ich9Tco::read(uint64_t offset, unsigned size) {
  uint64_t value = 0;
  for (unsigned i = 0; i < size && offset + i < kSize; ++i)
    value |= uint64_t{read_byte(static_cast<unsigned>(offset) + i)} << (8 * i);
  return value;
}

void Ich9Tco::write(uint64_t offset, unsigned size, uint64_t value) {
  for (unsigned i = 0; i < size && offset + i < kSize; ++i)
    write_byte(static_cast<unsigned>(offset) + i, static_cast<uint8_t>(value >> (8 * i)));
}

}  // namespace rhea::devices
