#include "devices/irq/apic_timer.h"

#include <algorithm>
#include <bit>
#include <utility>

namespace rhea::devices {

namespace {
constexpr int64_t kShortestPeriod = 100'000;
constexpr int64_t kFarthest = int64_t{1} << 60;
}  // namespace

ApicTimer::ApicTimer(Wiring wiring) : wiring_(std::move(wiring)) {
  timer_ = wiring_.clock.make_timer([this] { on_timer(); });
}

void ApicTimer::reset() {
  const std::lock_guard lock(mutex_);
  mode_ = Mode::OneShot;
  divide_ = 2;
  initial_ = 0;
  deadline_ = 0;
  due_ns_ = kNever;
}

void ApicTimer::set_mode(Mode mode) {
  const std::lock_guard lock(mutex_);
  if (mode == mode_) return;
  if (mode == Mode::TscDeadline || mode_ == Mode::TscDeadline) {
    initial_ = 0;
    deadline_ = 0;
    due_ns_ = kNever;
  }
  mode_ = mode;
}

// Figure 11-10: bits 3, 1 and 0 are the divider's exponent less one; 7 divides by 1.
void ApicTimer::set_divide(uint32_t tdcr) {
  const std::lock_guard lock(mutex_);
  uint32_t code = (tdcr & 3) | (tdcr >> 1 & 4);
  divide_ = 1u << ((code + 1) & 7);
}

int64_t ApicTimer::period_ns() const {
  int64_t period = int64_t{initial_} * divide_;
  return mode_ == Mode::Periodic ? std::max(period, kShortestPeriod) : period;
}

// A host timer that comes too early costs a wake-up; moving it costs a system call each time: leave it when
// the new time is later.
void ApicTimer::aim_locked(int64_t at_ns) {
  due_ns_ = at_ns;
  if (at_ns == kNever || aimed_ns_ <= at_ns) return;
  aimed_ns_ = at_ns;
  timer_->arm(at_ns);
}

void ApicTimer::set_initial_count(uint32_t count) {
  const std::lock_guard lock(mutex_);
  if (mode_ == Mode::TscDeadline) return;
  initial_ = count;
  due_ns_ = kNever;
  if (count != 0) aim_locked(wiring_.clock.now_ns() + period_ns());
}

uint32_t ApicTimer::initial_count() const {
  const std::lock_guard lock(mutex_);
  return initial_;
}

uint32_t ApicTimer::current_count() const {
  const std::lock_guard lock(mutex_);
  if (due_ns_ == kNever || mode_ == Mode::TscDeadline) return 0;
  int64_t left = due_ns_ - wiring_.clock.shown_ns();
  if (left <= 0) return mode_ == Mode::Periodic ? initial_ : 0;
  return static_cast<uint32_t>(std::min<int64_t>((left + divide_ - 1) / divide_, initial_));
}

int64_t ApicTimer::ns_until(uint64_t tsc) const {
  uint64_t now = wiring_.guest_tsc();
  if (tsc <= now) return 0;
  auto ns = static_cast<unsigned __int128>(tsc - now) * 1'000'000'000u / wiring_.tsc_hz + 1;
  return ns > static_cast<unsigned __int128>(kFarthest) ? kFarthest : static_cast<int64_t>(ns);
}

void ApicTimer::set_deadline(uint64_t guest_tsc) {
  bool now = false;
  {
    const std::lock_guard lock(mutex_);
    if (mode_ != Mode::TscDeadline) return;
    deadline_ = guest_tsc;
    due_ns_ = kNever;
    if (guest_tsc != 0) now = check_locked();
  }
  if (now) wiring_.expired();
}

uint64_t ApicTimer::deadline() const {
  const std::lock_guard lock(mutex_);
  return deadline_;
}

// Whether it is time; if not, makes sure to be called again.
bool ApicTimer::check_locked() {
  if (mode_ == Mode::TscDeadline) {
    if (deadline_ == 0) return false;
    int64_t left = ns_until(deadline_);
    if (left > 0) {
      aim_locked(wiring_.clock.now_ns() + left);
      return false;
    }
    deadline_ = 0;
    due_ns_ = kNever;
    return true;
  }
  if (due_ns_ == kNever) return false;
  int64_t now = wiring_.clock.now_ns();
  if (now < due_ns_) {
    aim_locked(due_ns_);
    return false;
  }
  if (mode_ == Mode::Periodic) {
    int64_t period = period_ns();
    aim_locked(due_ns_ + ((now - due_ns_) / period + 1) * period);
  } else {
    due_ns_ = kNever;
  }
  return true;
}

void ApicTimer::on_timer() {
  bool now;
  {
    const std::lock_guard lock(mutex_);
    aimed_ns_ = kNever;
    now = check_locked();
  }
  if (now) wiring_.expired();
}

void ApicTimer::state(bus::StateVisitor& v) {
  const std::lock_guard lock(mutex_);
  v.field("mode", mode_);
  v.field("divide", divide_);
  v.field("initial", initial_);
  v.field("deadline", deadline_);
  v.field("due_ns", due_ns_);
  if (std::popcount(divide_) != 1 || divide_ > 128) divide_ = 2;
  mode_ = static_cast<Mode>(static_cast<uint8_t>(mode_) & 3);
  if (mode_ == Mode::TscDeadline) {
    if (deadline_ != 0) aim_locked(wiring_.clock.now_ns());
  } else if (due_ns_ != kNever) {
    aim_locked(due_ns_);
  }
}

}  // namespace rhea::devices
