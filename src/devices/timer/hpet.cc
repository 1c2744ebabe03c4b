#include "devices/timer/hpet.h"

#include <algorithm>
#include <utility>

#include "base/log.h"

namespace rhea::devices {

namespace {

// 2.3: register offsets.
constexpr uint64_t kCapabilities = 0x000, kConfig = 0x010, kStatus = 0x020, kCounter = 0x0f0, kTimer0 = 0x100,
                   kTimerStride = 0x20;
constexpr uint64_t kTimerConfig = 0x00, kTimerComparator = 0x08, kTimerFsb = 0x10;

// 2.3.5.
constexpr uint64_t kEnable = 1, kLegacy = 2;

// 2.3.8.
constexpr uint64_t kLevel = 1 << 1, kInterrupt = 1 << 2, kPeriodic = 1 << 3, kPeriodicCapable = 1 << 4,
                   kWide = 1 << 5, kSetValue = 1 << 6, k32Bit = 1 << 8, kRoute = 0x1f << 9, kFsb = 1 << 14,
                   kFsbCapable = 1 << 15;
constexpr uint64_t kTimerWritable = kLevel | kInterrupt | kPeriodic | kSetValue | k32Bit | kRoute | kFsb;

constexpr int64_t kTickNs = static_cast<int64_t>(Hpet::kPeriodFs / 1'000'000);
// A host thread cannot be woken more often than this for one timer.
constexpr int64_t kMinIntervalNs = 20'000;
constexpr uint64_t kMaxBehind = 200'000'000;  // ticks: 2 s
// While a periodic timer catches up with a host that was late, the guest has this long to take each
// interrupt: edges that find the one before still pending are lost.
constexpr uint64_t kCatchUp = 20'000;  // ticks: 200 us
// So often it is looked whether a starved guest has taken its tick.
constexpr int64_t kRetryNs = 1'000'000;
// Further away than this the virtual clock ends first.
constexpr uint64_t kNever = uint64_t{1} << 58;

}  // namespace

Hpet::Hpet(Wiring wiring) : wiring_(std::move(wiring)) {
  for (unsigned n = 0; n < kTimers; ++n) timers_[n].timer = wiring_.clock.make_timer([this, n] { fire(n); });
  for (Comparator& t : timers_) t.compare = ~uint64_t{0};
}

void Hpet::reset(bus::ResetKind) {
  for (unsigned n = 0; n < kTimers; ++n) {
    drive(n, false);
    timers_[n].timer->cancel();
    timers_[n].config = timers_[n].period = timers_[n].fsb = timers_[n].due = 0;
    timers_[n].compare = ~uint64_t{0};
    timers_[n].armed = timers_[n].high_next = false;
  }
  config_ = status_ = held_ = 0;
  started_ns_ = 0;
  tell_pacer();
  wiring_.irq0.set(pit_);
  wiring_.irq8.set(rtc_);
}

void Hpet::state(bus::StateVisitor& v) {
  for (Comparator& t : timers_) {
    v.enter("timer");
    v.field("config", t.config);
    v.field("compare", t.compare);
    v.field("period", t.period);
    v.field("fsb", t.fsb);
    v.field("due", t.due);
    v.field("armed", t.armed);
    v.field("high_next", t.high_next);
    v.leave();
  }
  v.field("config", config_);
  v.field("status", status_);
  v.field("held", held_);
  v.field("started", started_ns_);
  v.field("pit", pit_);
  v.field("rtc", rtc_);
  if (!v.loading()) return;
  config_ &= kEnable | kLegacy;
  started_ns_ = std::clamp<int64_t>(started_ns_, 0, wiring_.clock.now_ns());
  for (unsigned n = 0; n < kTimers; ++n) {
    timers_[n].config &= kTimerWritable;
    set_timer(n);
  }
}

bool Hpet::legacy() const {
  return (config_ & kLegacy) != 0;
}
bool Hpet::narrow(unsigned n) const {
  return (timers_[n].config & k32Bit) != 0;
}

uint64_t Hpet::counter_at(int64_t ns) const {
  if ((config_ & kEnable) == 0) return held_;
  return held_ + static_cast<uint64_t>(std::max<int64_t>(ns - started_ns_, 0) / kTickNs);
}

uint64_t Hpet::counter() const {
  return counter_at(wiring_.clock.now_ns());
}

// As the guest knows it.
uint64_t Hpet::shown() const {
  return counter_at(wiring_.clock.shown_ns());
}

void Hpet::set_irq(unsigned pin, bool level) {
  (pin == kFromPit ? pit_ : rtc_) = level;
  if (legacy()) return;
  (pin == kFromPit ? wiring_.irq0 : wiring_.irq8).set(level);
}

// Legacy replacement: timer 0 is the 8254's interrupt, timer 1 the clock's (2.4.5).
void Hpet::drive(unsigned n, bool level) {
  const Comparator& t = timers_[n];
  if (legacy() && n == 0) {
    wiring_.irq0.set(level);
  } else if (legacy() && n == 1) {
    wiring_.irq8.set(level);
  } else {
    const unsigned route = static_cast<unsigned>((t.config & kRoute) >> 9);
    if (wiring_.gsi != nullptr && (wiring_.routes >> route & 1) != 0) wiring_.gsi->set_irq(route, level);
  }
}

// Finds when the comparator matches next: strictly after now.
void Hpet::arm(unsigned n) {
  Comparator& t = timers_[n];
  const uint64_t now = shown();
  if (narrow(n)) {
    const uint32_t distance = static_cast<uint32_t>(t.compare) - static_cast<uint32_t>(now);
    t.due = now + (distance == 0 ? uint64_t{1} << 32 : distance);
    t.armed = true;
  } else {
    t.due = t.compare;
    t.armed = t.compare > now;  // what has passed matches again after the counter has wrapped: never
  }
  set_timer(n);
}

// Wakes for an armed comparator whether or not its interrupt is enabled, since level status is set all the
// same. Only a periodic one without its interrupt is left alone; skip_past() makes up for that.
void Hpet::set_timer(unsigned n) {
  Comparator& t = timers_[n];
  if (n == 0) tell_pacer();
  t.timer->cancel();
  if (!t.armed || (config_ & kEnable) == 0 || (t.config & (kPeriodic | kInterrupt)) == kPeriodic) return;
  const uint64_t now = counter();
  const uint64_t left = t.due > now ? t.due - now : t.period != 0 ? kCatchUp : 0;
  if (left > kNever) return;
  const int64_t now_ns = wiring_.clock.now_ns();
  const int64_t since_tick = (now_ns - started_ns_) % kTickNs;
  t.timer->arm(now_ns - since_tick + static_cast<int64_t>(left) * kTickNs);
}

// Only the tick in the 8254's place is what guests count time with while they start.
bool Hpet::is_tick(unsigned n) const {
  const Comparator& t = timers_[n];
  return n == 0 && legacy() && (config_ & kEnable) != 0 && t.armed && t.period != 0 &&
         (t.config & (kPeriodic | kInterrupt)) == (kPeriodic | kInterrupt);
}

void Hpet::tell_pacer() {
  if (wiring_.pacer == nullptr) return;
  const Comparator& t = timers_[0];
  if (!is_tick(0) || t.period > kNever || t.due - held_ > kNever) {
    wiring_.pacer->expect(TickPacer::Source::Hpet, TickPacer::kNever, 0);
    return;
  }
  const int64_t due = started_ns_ + static_cast<int64_t>(t.due - held_) * kTickNs;
  wiring_.pacer->expect(TickPacer::Source::Hpet, due, static_cast<int64_t>(t.period) * kTickNs);
}

void Hpet::skip_past(unsigned n) {
  Comparator& t = timers_[n];
  const uint64_t now = counter();
  if (!t.armed || t.period == 0 || t.due > now) return;
  t.due += ((now - t.due) / t.period + 1) * t.period;
  t.compare = narrow(n) ? t.due & 0xffffffff : t.due;
}

void Hpet::fire(unsigned n) {
  Comparator& t = timers_[n];
  const bool periodic = (t.config & kPeriodic) != 0 && t.period != 0;
  if (wiring_.pacer != nullptr && is_tick(n)) {
    if (counter() <= t.due + kMaxBehind && !wiring_.pacer->taken()) {
      t.timer->arm(wiring_.clock.now_ns() + kRetryNs);
      return;
    }
    wiring_.pacer->raised();
  }
  if (periodic) {
    // Each period is an interrupt of its own, but not closer than a host can make them, and a host that fell
    // far behind goes on from now.
    const uint64_t now = counter();
    const uint64_t merge = static_cast<uint64_t>(kMinIntervalNs / kTickNs);
    uint64_t next = t.due + t.period;
    const uint64_t behind = now > next ? now - next : 0;
    if (t.period < merge || behind > kMaxBehind) next += (behind + merge) / t.period * t.period;
    t.due = next;
    t.compare = narrow(n) ? next & 0xffffffff : next;
  } else {
    t.armed = narrow(n);
    // A 32-bit comparator matches every time round.
    const uint64_t now = counter();
    if (t.armed) t.due += (((now > t.due ? now - t.due : 0) >> 32) + 1) << 32;
  }
  set_timer(n);
  const bool level = (t.config & kLevel) != 0;
  if (level) status_ |= uint64_t{1} << n;
  if ((t.config & kInterrupt) == 0) return;
  if ((t.config & kFsb) != 0) {
    if (wiring_.message) wiring_.message(t.fsb >> 32, static_cast<uint32_t>(t.fsb));
    return;
  }
  drive(n, true);
  if (!level) drive(n, false);
}

uint64_t Hpet::read_register(uint64_t at) const {
  switch (at) {
    case kCapabilities: return kPeriodFs << 32 | kBlockId;
    case kConfig: return config_;
    case kStatus: return status_;
    case kCounter: return shown();
    default: break;
  }
  const uint64_t n = (at - kTimer0) / kTimerStride;
  if (at < kTimer0 || n >= kTimers) return 0;
  const Comparator& t = timers_[n];
  switch ((at - kTimer0) % kTimerStride) {
    case kTimerConfig:
      return (t.config & ~kSetValue) | kPeriodicCapable | kWide | kFsbCapable |
             uint64_t{wiring_.routes} << 32;
    case kTimerComparator: return t.compare;
    case kTimerFsb: return t.fsb;
    default: return 0;
  }
}

uint64_t Hpet::io_read(uint64_t offset, unsigned size) {
  for (unsigned n = 0; n < kTimers; ++n) {
    if ((timers_[n].config & (kPeriodic | kInterrupt)) == kPeriodic) skip_past(n);
  }
  const uint64_t value = read_register(offset & ~uint64_t{7}) >> (8 * (offset & 4));
  return size >= 8 ? value : value & 0xffffffff;
}

void Hpet::io_write(uint64_t offset, unsigned size, uint64_t value) {
  const uint64_t mask = size >= 8 ? ~uint64_t{0} : uint64_t{0xffffffff} << (8 * (offset & 4));
  write_register(offset & ~uint64_t{7}, (offset & 4) != 0 ? value << 32 : value, mask);
}

void Hpet::write_config(uint64_t value) {
  const uint64_t now = counter();
  const bool was_legacy = legacy();
  const bool starts = (value & kEnable) != 0 && (config_ & kEnable) == 0;
  const bool stops = (value & kEnable) == 0 && (config_ & kEnable) != 0;
  if (starts) started_ns_ = wiring_.clock.now_ns();
  if (stops) held_ = now;
  config_ = value & (kEnable | kLegacy);
  if (legacy() != was_legacy) {
    wiring_.irq0.set(!legacy() && pit_);
    wiring_.irq8.set(!legacy() && rtc_);
  }
  if (!starts && !stops) {
    tell_pacer();
    return;
  }
  for (unsigned n = 0; n < kTimers; ++n) {
    if (starts && timers_[n].armed)
      arm(n);
    else
      set_timer(n);
  }
}

void Hpet::write_register(uint64_t at, uint64_t value, uint64_t mask) {
  switch (at) {
    case kConfig: write_config((config_ & ~mask) | (value & mask)); return;
    case kStatus:
      // Writing a one ends a level interrupt.
      for (unsigned n = 0; n < kTimers; ++n) {
        if ((value & mask & status_ & uint64_t{1} << n) == 0) continue;
        status_ &= ~(uint64_t{1} << n);
        drive(n, false);
      }
      return;
    case kCounter:
      // 2.3.7: only while it is stopped.
      if ((config_ & kEnable) != 0) {
        guest_error("hpet: the counter is written while it runs");
        return;
      }
      held_ = (held_ & ~mask) | (value & mask);
      return;
    default: break;
  }
  const uint64_t n = (at - kTimer0) / kTimerStride;
  if (at < kTimer0 || n >= kTimers) {
    if (at != kCapabilities) guest_error("hpet: write of {:#x} to offset {:#x}", value, at);
    return;
  }
  write_timer(static_cast<unsigned>(n), (at - kTimer0) % kTimerStride, value, mask);
}

void Hpet::write_timer(unsigned n, uint64_t reg, uint64_t value, uint64_t mask) {
  Comparator& t = timers_[n];
  if (reg == kTimerFsb) {
    t.fsb = (t.fsb & ~mask) | (value & mask);
    return;
  }
  if (reg == kTimerComparator) {
    write_comparator(n, value, mask);
    return;
  }
  if (reg != kTimerConfig) return;
  const uint64_t before = t.config;
  const uint64_t after = (before & ~(kTimerWritable & mask)) | (value & mask & kTimerWritable);
  // A line that is held must not stay behind where it was routed before.
  const bool held = (status_ >> n & 1) != 0;
  if ((before & (kPeriodic | kInterrupt)) == kPeriodic) skip_past(n);
  const bool line_moves = ((before ^ after) & (kRoute | kInterrupt | kLevel | kFsb)) != 0;
  if (held && line_moves) drive(n, false);
  t.config = after;
  if ((after & kLevel) == 0) status_ &= ~(uint64_t{1} << n);
  if (held && line_moves && (after & (kLevel | kInterrupt | kFsb)) == (kLevel | kInterrupt)) drive(n, true);
  if ((after & k32Bit) != 0) {
    t.compare &= 0xffffffff;
    t.period &= 0xffffffff;
  }
  if (((before ^ after) & k32Bit) != 0 && t.armed)
    arm(n);
  else
    set_timer(n);
}

// 2.4.2, periodic mode: a write sets the period, and with the set-value bit, which then clears itself, also
// the comparator.
void Hpet::write_comparator(unsigned n, uint64_t value, uint64_t mask) {
  Comparator& t = timers_[n];
  const uint64_t wide = narrow(n) ? 0xffffffff : ~uint64_t{0};
  const bool periodic = (t.config & kPeriodic) != 0;
  const bool low = (mask & 0xffffffff) != 0;
  const bool set_value = (t.config & kSetValue) != 0 || (!low && t.high_next);
  if (!periodic || set_value) t.compare = ((t.compare & ~mask) | (value & mask)) & wide;
  if (periodic) t.period = ((t.period & ~mask) | (value & mask)) & wide;
  t.high_next = set_value && low && (mask >> 32) == 0;
  t.config &= ~kSetValue;
  if (periodic && !set_value && t.armed)
    set_timer(n);
  else
    arm(n);
}

}  // namespace rhea::devices
