#include "devices/timer/i8254.h"

#include <algorithm>

namespace rhea::devices {

namespace {

constexpr uint8_t kGate2 = 0x01, kSpeaker = 0x02, kRefresh = 0x10, kOut2 = 0x20, kPortBWritable = 0x0f;
constexpr int64_t kRefreshNs = 15085;  // counter 1 of a PC: 18 ticks

// A guest may ask for more interrupts than a host thread can make: closer ones than this merge, and a host
// that fell further behind than kMaxLate ticks does not catch up. While one catches up, the guest has this
// long to take each interrupt: edges that find the one before still pending are lost.
constexpr int64_t kCatchUpNs = 200'000;
// So often it is looked whether a starved guest has taken its interrupt.
constexpr int64_t kRetryNs = 1'000'000;
constexpr int64_t kMinIntervalNs = 20'000;
constexpr uint64_t kMaxLate = I8254::kHz * 2;

uint64_t ticks_at(int64_t ns) {
  const auto wide = static_cast<unsigned __int128>(ns < 0 ? 0 : ns) * I8254::kHz / 1'000'000'000u;
  return static_cast<uint64_t>(wide);
}

int64_t time_of(uint64_t ticks) {
  const auto wide = (static_cast<unsigned __int128>(ticks) * 1'000'000'000u + I8254::kHz - 1) / I8254::kHz;
  return static_cast<int64_t>(static_cast<uint64_t>(wide));
}

}  // namespace

I8254::I8254(const Wiring& wiring) : wiring_(wiring) {
  timer_ = wiring_.clock.make_timer([this] { rose(); });
  counters_[2].set_gate(false, now());
}

uint64_t I8254::now() const {
  return ticks_at(wiring_.clock.now_ns());
}

// What guests measure with is in step with their other clocks; what interrupts them is not held up.
uint64_t I8254::time_of_counter(unsigned counter) const {
  return counter == 0 ? now() : ticks_at(wiring_.clock.shown_ns());
}

void I8254::reset(bus::ResetKind) {
  counters_ = {};
  counters_[2].set_gate(false, now());
  port_b_ = 0;
  changed();
  tell_speaker();
}

void I8254::state(bus::StateVisitor& v) {
  counters_[0].visit(v, "counter0");
  counters_[1].visit(v, "counter1");
  counters_[2].visit(v, "counter2");
  v.field("port_b", port_b_);
  if (!v.loading()) return;
  schedule(now());
  tell_speaker();
}

// The rise of a period: its line was low for the tick before.
void I8254::rose() {
  const uint64_t current = now();
  if (wiring_.pacer != nullptr && counters_[0].periodic() && current <= expected_ + kMaxLate &&
      !wiring_.pacer->taken()) {
    timer_->arm(wiring_.clock.now_ns() + kRetryNs);
    return;
  }
  wiring_.irq0.set(false);
  wiring_.irq0.set(true);
  if (wiring_.pacer != nullptr) wiring_.pacer->raised();
  schedule(current > expected_ + kMaxLate ? current : expected_);
}

void I8254::schedule(uint64_t from) {
  const uint64_t current = now();
  const auto rise = counters_[0].next_rise(std::min(from, current));
  if (!rise) {
    timer_->cancel();
    if (wiring_.pacer != nullptr) wiring_.pacer->expect(TickPacer::Source::Pit, TickPacer::kNever, 0);
    return;
  }
  expected_ = *rise;
  // Rises that are too close for separate interrupts are passed over together.
  const uint64_t merge = ticks_at(kMinIntervalNs);
  if (counters_[0].periodic() && counters_[0].period() < merge && expected_ < current + merge)
    expected_ += (current + merge - expected_) / counters_[0].period() * counters_[0].period();
  const int64_t due = time_of(expected_);
  if (wiring_.pacer != nullptr)
    wiring_.pacer->expect(TickPacer::Source::Pit, counters_[0].periodic() ? due : TickPacer::kNever,
                          counters_[0].periodic() ? time_of(counters_[0].period()) : 0);
  timer_->arm(expected_ <= current ? std::max(due, wiring_.clock.now_ns() + kCatchUpNs) : due);
}

void I8254::changed() {
  wiring_.irq0.set(counters_[0].output(now()));
  schedule(now());
}

void I8254::tell_speaker() {
  if (!wiring_.speaker) return;
  const bool sounds = (port_b_ & (kGate2 | kSpeaker)) == (kGate2 | kSpeaker);
  wiring_.speaker(sounds && counters_[2].periodic() ? counters_[2].period() : 0);
}

void I8254::control(uint8_t word) {
  const unsigned select = word >> 6;
  if (select == 3) {  // read-back: bits 5 and 4 are active low
    for (unsigned i = 0; i < 3; ++i) {
      if ((word >> (i + 1) & 1) == 0) continue;
      if ((word & 0x20) == 0) counters_[i].latch_count(time_of_counter(i));
      if ((word & 0x10) == 0) counters_[i].latch_status(time_of_counter(i));
    }
    return;
  }
  if ((word & 0x30) == 0) {
    counters_[select].latch_count(time_of_counter(select));
    return;
  }
  counters_[select].control(word, time_of_counter(select));
  if (select == 0) changed();
  if (select == 2) tell_speaker();
}

uint8_t I8254::read_port_b() {
  const bool refresh = (wiring_.clock.shown_ns() / kRefreshNs & 1) != 0;
  return static_cast<uint8_t>(port_b_ | (refresh ? kRefresh : 0) |
                              (counters_[2].output(time_of_counter(2)) ? kOut2 : 0));
}

uint64_t I8254::io_read(uint64_t offset, unsigned) {
  const auto counter = static_cast<unsigned>(offset);
  if (offset < counters_.size()) return counters_[counter].read(time_of_counter(counter));
  return offset == kPortB ? read_port_b() : 0xff;
}

void I8254::io_write(uint64_t offset, unsigned, uint64_t value) {
  const uint8_t byte = static_cast<uint8_t>(value);
  if (offset == 3) {
    control(byte);
  } else if (offset == kPortB) {
    port_b_ = byte & kPortBWritable;
    counters_[2].set_gate((byte & kGate2) != 0, time_of_counter(2));
    tell_speaker();
  } else if (offset < counters_.size()) {
    counters_[offset].write(byte, time_of_counter(static_cast<unsigned>(offset)));
    if (offset == 0) changed();
    if (offset == 2) tell_speaker();
  }
}

}  // namespace rhea::devices
