#include "devices/timer/mc146818.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "base/log.h"

namespace rhea::devices {

namespace {

enum Register : uint8_t {
  kSeconds = 0,
  kSecondsAlarm,
  kMinutes,
  kMinutesAlarm,
  kHours,
  kHoursAlarm,
  kWeekday,
  kDay,
  kMonth,
  kYear,
  kA,
  kB,
  kC,
  kD,
  kCentury = 0x32,
};

// Register A.
constexpr uint8_t kUpdateInProgress = 0x80, kDivider = 0x70, kDividerRun = 0x20, kRate = 0x0f;
// Register B.
constexpr uint8_t kSet = 0x80, kPeriodicEnable = 0x40, kAlarmEnable = 0x20, kUpdateEnable = 0x10,
                  kBinary = 0x04, k24Hour = 0x02;
// Register C; the sources stand where B enables them.
constexpr uint8_t kRequest = 0x80, kPeriodic = 0x40, kAlarm = 0x20, kUpdate = 0x10;
constexpr uint8_t kValid = 0x80;  // register D

constexpr int64_t kSecond = 1'000'000'000;
constexpr int64_t kBusyNs =
    244'000 + 1984'000;  // the flag, then the update itself, at the end of each second
constexpr int64_t kCrystal = 32768;
constexpr uint8_t kDontCare = 0xc0;               // alarm bytes from here on match anything
constexpr int64_t kMaxSeconds = 253'402'300'799;  // the last of the year 9999
constexpr int64_t kLatestSecond = 9'000'000'000;  // nanoseconds in 64 bits reach the year 2262
constexpr int64_t kLatestSet = 8'000'000'000;  // the latest that can be set, so that time can pass after it
constexpr int64_t kLatestNs = kLatestSecond * kSecond;
// How much is made up for: of a host's own lateness, and with slewing of a guest's.
constexpr int64_t kMaxLatePeriods = 16, kMaxSlewNs = 60 * kSecond;

int64_t floor_div(int64_t a, int64_t b) {
  return a / b - (a % b < 0 ? 1 : 0);
}

struct Calendar {
  unsigned second, minute, hour, weekday, day, month, year;
};

Calendar split(int64_t seconds) {
  using namespace std::chrono;
  const int64_t days = floor_div(seconds, 86400);
  const auto rest = static_cast<unsigned>(seconds - days * 86400);
  const sys_days date{std::chrono::days{days}};
  const year_month_day ymd{date};
  return {.second = rest % 60,
          .minute = rest / 60 % 60,
          .hour = rest / 3600,
          .weekday = weekday{date}.c_encoding() + 1,
          .day = static_cast<unsigned>(ymd.day()),
          .month = static_cast<unsigned>(ymd.month()),
          .year = static_cast<unsigned>(std::max(0, static_cast<int>(ymd.year())))};
}

int64_t join(const Calendar& c) {
  using namespace std::chrono;
  const year_month_day first{year{static_cast<int>(c.year)}, month{std::clamp(c.month, 1u, 12u)}, day{1}};
  const auto days =
      sys_days{first}.time_since_epoch().count() + static_cast<int64_t>(std::clamp(c.day, 1u, 31u)) - 1;
  return days * int64_t{86400} + int64_t{c.hour % 24} * 3600 + int64_t{c.minute % 60} * 60 + c.second % 60;
}

}  // namespace

Mc146818::Mc146818(Wiring wiring) : wiring_(std::move(wiring)) {
  timer_ = wiring_.clock.make_timer([this] {
    catch_up();
    schedule();
  });
  offset_ns_ = std::clamp<int64_t>(wiring_.base_ns, 0, kLatestNs) - wiring_.clock.now_ns();
  ram_[kA] = kDividerRun | 6;
  ram_[kB] = k24Hour;
  ram_[kD] = kValid;
  seen_second_ = seconds();
}

// Time, settings and memory are kept by the battery; a reset ends what can interrupt (data sheet, RESET pin).
void Mc146818::reset(bus::ResetKind) {
  catch_up();
  ram_[kB] = static_cast<uint8_t>(ram_[kB] & ~(kPeriodicEnable | kAlarmEnable | kUpdateEnable | 0x08));
  ram_[kC] = 0;
  index_ = index_high_ = 0;
  if (wiring_.nmi_mask) wiring_.nmi_mask(false);
  schedule();
  drive();
}

void Mc146818::state(bus::StateVisitor& v) {
  v.bytes("cmos", ram_);
  v.field("offset", offset_ns_);
  v.field("seen_second", seen_second_);
  v.field("seen_period", seen_period_);
  v.field("frozen", frozen_ns_);
  v.field("index", index_);
  v.field("index_high", index_high_);
  if (!v.loading()) return;
  // What a file says must not carry the arithmetic out of 64 bits.
  const int64_t now = wiring_.clock.now_ns();
  offset_ns_ = std::clamp(offset_ns_, -now, kLatestNs - now);
  frozen_ns_ = std::clamp<int64_t>(frozen_ns_, 0, kLatestNs);
  seen_second_ = std::clamp<int64_t>(seen_second_, 0, seconds());
  const int64_t period = periodic_ns();
  seen_period_ = std::clamp<int64_t>(seen_period_, 0, period == 0 ? INT64_MAX : now / period);
  schedule();
  drive();
}

bool Mc146818::running() const {
  return (ram_[kB] & kSet) == 0 && (ram_[kA] & kDivider) == kDividerRun;
}

int64_t Mc146818::shown_ns() const {
  return running() ? wiring_.clock.now_ns() + offset_ns_ : frozen_ns_;
}

int64_t Mc146818::seconds() const {
  return std::min(floor_div(shown_ns(), kSecond), kMaxSeconds);
}

// Called before running() turns false, and after it turns true.
void Mc146818::freeze() {
  frozen_ns_ = wiring_.clock.now_ns() + offset_ns_;
}

void Mc146818::thaw() {
  // The first update is half a second after the divider is let go.
  frozen_ns_ = floor_div(frozen_ns_, kSecond) * kSecond + kSecond / 2;
  offset_ns_ = frozen_ns_ - wiring_.clock.now_ns();
  seen_second_ = seconds();
}

bool Mc146818::updating() const {
  if (!running()) return false;
  const int64_t now = shown_ns();
  return now - floor_div(now, kSecond) * kSecond >= kSecond - kBusyNs;
}

int64_t Mc146818::periodic_ns() const {
  unsigned rate = ram_[kA] & kRate;
  if (rate == 0 || (ram_[kA] & kDivider) != kDividerRun) return 0;
  if (rate <= 2) rate += 7;  // with a 32 kHz crystal 1 and 2 are 256 and 128 Hz
  return (int64_t{1} << (rate - 1)) * kSecond / kCrystal;
}

bool Mc146818::alarm_matches(int64_t at) const {
  const Calendar c = split(at);
  const auto matches = [this](uint8_t index, unsigned value) {
    return ram_[index] >= kDontCare || decode(ram_[index]) == value;
  };
  const bool hour = ram_[kHoursAlarm] >= kDontCare || decode_hour(ram_[kHoursAlarm]) == c.hour;
  return matches(kSecondsAlarm, c.second) && matches(kMinutesAlarm, c.minute) && hour;
}

// Sets the flags of everything that has happened since the last time.
void Mc146818::catch_up() {
  const int64_t now = wiring_.clock.now_ns();
  if (running()) {
    const int64_t second = seconds();
    if (second > seen_second_) {
      ram_[kC] |= kUpdate;
      // An alarm matches at least once a day: looking further back finds nothing new.
      for (int64_t at = std::max(seen_second_ + 1, second - 86400); at <= second && (ram_[kC] & kAlarm) == 0;
           ++at) {
        if (alarm_matches(at)) ram_[kC] |= kAlarm;
      }
    }
    seen_second_ = second;
  }
  if (const int64_t period = periodic_ns(); period != 0) {
    const int64_t ticks = now / period;
    const int64_t behind = ticks - seen_period_;
    const bool enabled = (ram_[kB] & kPeriodicEnable) != 0;
    if ((ram_[kC] & kPeriodic) != 0) {
      // The guest has not taken the last one yet: what comes meanwhile is lost, or kept for later.
      if (!enabled || !wiring_.slew) seen_period_ = ticks;
    } else if (behind > 0) {
      // A host that wakes late makes one interrupt for each period, unless it is far behind.
      ram_[kC] |= kPeriodic;
      const bool owed = enabled && behind <= (wiring_.slew ? kMaxSlewNs / period : kMaxLatePeriods);
      seen_period_ = owed ? seen_period_ + 1 : ticks;
    }
  }
  drive();
}

void Mc146818::schedule() {
  int64_t next = INT64_MAX;
  const uint8_t b = ram_[kB];
  if (running() && (b & (kAlarmEnable | kUpdateEnable)) != 0) {
    const int64_t until = (seen_second_ + 1) * kSecond - offset_ns_;
    next = std::min(next, until);
  }
  const int64_t period = periodic_ns();
  if (period != 0 && (b & kPeriodicEnable) != 0 && (ram_[kC] & kPeriodic) == 0)
    next = std::min(next, (seen_period_ + 1) * period);
  if (next == INT64_MAX)
    timer_->cancel();
  else
    timer_->arm(next);
}

void Mc146818::drive() {
  const bool request = (ram_[kC] & ram_[kB] & (kPeriodic | kAlarm | kUpdate)) != 0;
  ram_[kC] = static_cast<uint8_t>(request ? ram_[kC] | kRequest : ram_[kC] & ~kRequest);
  wiring_.irq8.set(request);
}

uint8_t Mc146818::encode(unsigned value) const {
  if ((ram_[kB] & kBinary) != 0) return static_cast<uint8_t>(value);
  return static_cast<uint8_t>(value / 10 % 10 << 4 | value % 10);
}

unsigned Mc146818::decode(uint8_t value) const {
  if ((ram_[kB] & kBinary) != 0) return value;
  return (value >> 4) * 10u + (value & 15u);
}

uint8_t Mc146818::encode_hour(unsigned hour) const {
  if ((ram_[kB] & k24Hour) != 0) return encode(hour);
  const unsigned twelve = hour % 12 == 0 ? 12 : hour % 12;
  return static_cast<uint8_t>(encode(twelve) | (hour >= 12 ? 0x80 : 0));
}

unsigned Mc146818::decode_hour(uint8_t value) const {
  if ((ram_[kB] & k24Hour) != 0) return decode(value);
  return decode(value & 0x7f) % 12 + ((value & 0x80) != 0 ? 12 : 0);
}

uint8_t Mc146818::time_byte(uint8_t index) const {
  const Calendar c = split(seconds());
  switch (index) {
    case kSeconds: return encode(c.second);
    case kMinutes: return encode(c.minute);
    case kHours: return encode_hour(c.hour);
    case kWeekday: return encode(c.weekday);
    case kDay: return encode(c.day);
    case kMonth: return encode(c.month);
    case kYear: return encode(c.year % 100);
    default: return encode(c.year / 100);
  }
}

uint8_t Mc146818::read(uint8_t index) {
  switch (index) {
    case kSeconds:
    case kMinutes:
    case kHours:
    case kWeekday:
    case kDay:
    case kMonth:
    case kYear:
    case kCentury: return time_byte(index);
    case kA:
      return static_cast<uint8_t>((ram_[kA] & ~kUpdateInProgress) | (updating() ? kUpdateInProgress : 0));
    case kC: {
      catch_up();
      const uint8_t flags = ram_[kC];
      ram_[kC] = 0;
      drive();
      schedule();
      return flags;
    }
    case kD: return kValid;
    default: return ram_[index];
  }
}

void Mc146818::write_time(uint8_t index, uint8_t value) {
  catch_up();
  Calendar c = split(seconds());
  const unsigned number = decode(value);
  switch (index) {
    case kSeconds: c.second = number; break;
    case kMinutes: c.minute = number; break;
    case kHours: c.hour = decode_hour(value); break;
    case kDay: c.day = number; break;
    case kMonth: c.month = number; break;
    case kYear: c.year = c.year / 100 * 100 + number % 100; break;
    case kCentury: c.year = number % 100 * 100 + c.year % 100; break;
    default: return;  // the weekday follows from the date
  }
  const int64_t now = shown_ns();
  const int64_t fraction = now - floor_div(now, kSecond) * kSecond;
  const int64_t set = std::clamp<int64_t>(join(c), 0, kLatestSet) * kSecond + fraction;
  frozen_ns_ = set;
  offset_ns_ = set - wiring_.clock.now_ns();
  seen_second_ = seconds();
  schedule();
}

void Mc146818::write_a(uint8_t value) {
  catch_up();
  const bool ran = running();
  const int64_t old_period = periodic_ns();
  if (ran) freeze();
  ram_[kA] = value & static_cast<uint8_t>(~kUpdateInProgress);
  if (running() && !ran) thaw();
  const int64_t period = periodic_ns();
  if (period != 0 && period != old_period) seen_period_ = wiring_.clock.now_ns() / period;
  schedule();
}

void Mc146818::write_b(uint8_t value) {
  catch_up();
  const bool ran = running();
  if (ran) freeze();
  if ((value & kSet) != 0) value = static_cast<uint8_t>(value & ~kUpdateEnable);
  // Alarm bytes stay as written when the format changes, as on the chip.
  ram_[kB] = value;
  if (running() && !ran) {
    offset_ns_ = frozen_ns_ - wiring_.clock.now_ns();
    seen_second_ = seconds();
  }
  if (const int64_t period = periodic_ns(); period != 0) seen_period_ = wiring_.clock.now_ns() / period;
  drive();
  schedule();
}

void Mc146818::write(uint8_t index, uint8_t value) {
  switch (index) {
    case kSeconds:
    case kMinutes:
    case kHours:
    case kWeekday:
    case kDay:
    case kMonth:
    case kYear:
    case kCentury: write_time(index, value); break;
    case kSecondsAlarm:
    case kMinutesAlarm:
    case kHoursAlarm:
      catch_up();
      ram_[index] = value;
      break;
    case kA: write_a(value); break;
    case kB: write_b(value); break;
    case kC:
    case kD: guest_error("mc146818rtc: write of {:#x} to read-only register {:#x}", value, index); break;
    default: ram_[index] = value; break;
  }
}

uint64_t Mc146818::io_read(uint64_t offset, unsigned) {
  switch (offset) {
    case 1: return read(index_ & 0x7f);
    case 2: return index_high_;
    case 3: return read(index_high_);
    default: return 0xff;  // the first index is write-only
  }
}

void Mc146818::io_write(uint64_t offset, unsigned, uint64_t value) {
  const uint8_t byte = static_cast<uint8_t>(value);
  switch (offset) {
    case 0:
      if (((index_ ^ byte) & 0x80) != 0 && wiring_.nmi_mask) wiring_.nmi_mask((byte & 0x80) != 0);
      index_ = byte;
      break;
    case 1: write(index_ & 0x7f, byte); break;
    case 2: index_high_ = byte; break;
    case 3: write(index_high_, byte); break;
    default: break;
  }
}

}  // namespace rhea::devices
