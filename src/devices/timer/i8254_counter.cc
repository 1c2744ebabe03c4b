#include "devices/timer/i8254_counter.h"

namespace rhea::devices {

namespace {

uint64_t from_bcd(uint64_t v) {
  return (v & 15) + (v >> 4 & 15) * 10 + (v >> 8 & 15) * 100 + (v >> 12 & 15) * 1000;
}

uint64_t to_bcd(uint64_t v) {
  return v % 10 | (v / 10 % 10) << 4 | (v / 100 % 10) << 8 | (v / 1000 % 10) << 12;
}

}  // namespace

void I8254Counter::control(uint8_t word, uint64_t now) {
  settle(now);
  access_ = word >> 4 & 3;
  mode_ = word >> 1 & 7;
  if (mode_ > 5) mode_ = static_cast<uint8_t>(mode_ & 3);  // the top bit of modes 2 and 3 is don't care
  bcd_ = (word & 1) != 0;
  running_ = loaded_ = reload_ = triggered_ = false;
  frozen_ = 0;
  null_count_ = true;
  write_high_next_ = read_high_next_ = false;
  latched_bytes_ = 0;
  status_latched_ = false;
}

// Takes over a count that waited for the end of a period.
void I8254Counter::settle(uint64_t now) {
  if (!reload_ || !running_) return;
  const uint64_t passed = now - start_;
  if (passed < count_) return;
  // The count was written within the period that is over now, or this would have been settled before.
  start_ += passed - passed % count_ - (passed >= 2 * count_ ? (passed / count_ - 1) * count_ : 0);
  count_ = next_count_;
  reload_ = false;
  null_count_ = false;
}

void I8254Counter::start(uint64_t now) {
  count_ = next_count_;
  start_ = now;
  frozen_ = 0;
  null_count_ = reload_ = false;
  running_ = true;
}

void I8254Counter::count_written(uint64_t now) {
  null_count_ = true;
  const bool first = !loaded_;
  loaded_ = true;
  switch (mode_) {
    case 1:
    case 5: break;  // at the next trigger
    case 2:
    case 3:
      if (!first && running_) {
        settle(now);
        start_ += (now - start_) / count_ * count_;  // so that the running period is the first one
        reload_ = true;
      } else if (gate_) {
        start(now);
      }
      break;
    default:
      start(now);
      if (!gate_) running_ = false;
      break;
  }
}

void I8254Counter::write(uint8_t value, uint64_t now) {
  settle(now);
  uint64_t raw = 0;
  if (access_ == kBoth && !write_high_next_) {
    written_low_ = value;
    write_high_next_ = true;
    if (mode_ == 0) {  // the first byte stops the counter and lowers the output
      running_ = loaded_ = false;
      frozen_ = 0;
    }
    return;
  }
  if (access_ == kBoth) raw = written_low_ | uint64_t{value} << 8;
  if (access_ == kLow) raw = value;
  if (access_ == kHigh) raw = uint64_t{value} << 8;
  write_high_next_ = false;
  if (bcd_) raw = from_bcd(raw) % 10000;
  next_count_ = raw == 0 ? base() : raw;
  count_written(now);
}

void I8254Counter::set_gate(bool level, uint64_t now) {
  settle(now);
  const bool rising = level && !gate_;
  const bool falling = !level && gate_;
  gate_ = level;
  if (!loaded_ || (!rising && !falling)) return;
  switch (mode_) {
    case 1:
    case 5:
      if (rising) {
        start(now);
        triggered_ = true;
      }
      break;
    case 2:
    case 3:
      if (rising) start(now);
      if (falling) {
        frozen_ = 0;
        running_ = false;
      }
      break;
    default:
      if (falling && running_) {
        frozen_ = now - start_;
        running_ = false;
      } else if (rising) {
        start_ = now - frozen_;
        running_ = true;
      }
      break;
  }
}

bool I8254Counter::output(uint64_t now) {
  settle(now);
  const uint64_t d = elapsed(now);
  switch (mode_) {
    case 0: return loaded_ && d >= count_;
    case 1: return !triggered_ || d >= count_;
    case 2: return !running_ || d % count_ != count_ - 1 || count_ == 1;
    case 3: return !running_ || d % count_ < (count_ + 1) / 2;
    case 5: return !triggered_ || d != count_;
    default: return !loaded_ || d != count_;
  }
}

std::optional<uint64_t> I8254Counter::next_rise(uint64_t now) {
  settle(now);
  if (!running_ || !loaded_) return std::nullopt;
  const uint64_t d = now - start_;
  if (periodic()) return start_ + (d / count_ + 1) * count_;
  if ((mode_ == 1 || mode_ == 5) && !triggered_) return std::nullopt;
  const uint64_t at = mode_ >= 4 ? count_ + 1 : count_;  // a strobe rises when it ends
  if (d >= at) return std::nullopt;
  return start_ + at;
}

uint16_t I8254Counter::value(uint64_t now) {
  settle(now);
  const uint64_t d = elapsed(now);
  uint64_t left = 0;
  if (mode_ == 2) {
    left = count_ - d % count_;
  } else if (mode_ == 3) {
    const uint64_t half = (count_ + 1) / 2;
    const uint64_t phase = d % count_;
    left = (count_ & ~uint64_t{1}) - 2 * (phase < half ? phase : phase - half);
  } else {
    left = (count_ + base() - d % base()) % base();
  }
  left %= base();
  return static_cast<uint16_t>(bcd_ ? to_bcd(left) : left);
}

void I8254Counter::latch_count(uint64_t now) {
  if (latched_bytes_ != 0) return;  // the first latch stands until it is read
  latched_ = value(now);
  latched_bytes_ = access_ == kBoth ? 2 : 1;
  read_high_next_ = access_ == kHigh;
}

void I8254Counter::latch_status(uint64_t now) {
  if (status_latched_) return;
  status_ = static_cast<uint8_t>((output(now) ? 0x80 : 0) | (null_count_ ? 0x40 : 0) | access_ << 4 |
                                 mode_ << 1 | (bcd_ ? 1 : 0));
  status_latched_ = true;
}

uint8_t I8254Counter::read(uint64_t now) {
  if (status_latched_) {
    status_latched_ = false;
    return status_;
  }
  const bool latched = latched_bytes_ != 0;
  const uint16_t count = latched ? latched_ : value(now);
  bool high = access_ == kHigh;
  if (access_ == kBoth) {
    high = read_high_next_;
    read_high_next_ = !read_high_next_;
  }
  if (latched) --latched_bytes_;
  return static_cast<uint8_t>(high ? count >> 8 : count);
}

void I8254Counter::visit(bus::StateVisitor& v, std::string_view name) {
  v.enter(name);
  v.field("start", start_);
  v.field("frozen", frozen_);
  v.field("count", count_);
  v.field("next_count", next_count_);
  v.field("latched", latched_);
  v.field("access", access_);
  v.field("mode", mode_);
  v.field("written_low", written_low_);
  v.field("latched_bytes", latched_bytes_);
  v.field("status", status_);
  v.field("bcd", bcd_);
  v.field("gate", gate_);
  v.field("running", running_);
  v.field("loaded", loaded_);
  v.field("null_count", null_count_);
  v.field("reload", reload_);
  v.field("triggered", triggered_);
  v.field("write_high_next", write_high_next_);
  v.field("read_high_next", read_high_next_);
  v.field("status_latched", status_latched_);
  v.leave();
  if (!v.loading()) return;
  if (count_ == 0 || count_ > 0x10000) count_ = 0x10000;
  if (next_count_ == 0 || next_count_ > 0x10000) next_count_ = 0x10000;
  access_ &= 3;
  mode_ = mode_ > 5 ? 3 : mode_;
}

}  // namespace rhea::devices
