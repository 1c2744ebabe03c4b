#include "devices/audio/pc_speaker.h"

#include <algorithm>
#include <vector>

#include "devices/timer/i8254.h"

namespace rhea::devices {

namespace {

constexpr unsigned kRate = 32000;
constexpr int16_t kLoud = 8000;
constexpr int64_t kTickNs = 10'000'000, kSecondNs = 1'000'000'000;
constexpr uint64_t kLongest = 65536;                // what the counter can count
constexpr uint64_t kShortest = I8254::kHz / 20000;  // nobody hears more than 20 kHz

}  // namespace

PcSpeaker::PcSpeaker(const Wiring& wiring)
    : wiring_(wiring),
      output_(wiring_.backend.open_output({kRate, 1})),
      timer_(wiring_.clock.make_timer([this] { tick(); })) {}

void PcSpeaker::reset(bus::ResetKind) {
  tone(0);
  phase_ = 0;
}

void PcSpeaker::state(bus::StateVisitor& v) {
  v.field("period", period_);
  v.field("phase", phase_);
  if (!v.loading()) return;
  const uint64_t period = period_, phase = phase_;
  period_ = phase_ = 0;
  timer_->cancel();
  output_->set_active(false);
  tone(period);
  if (period_ != 0 && phase < period_ * kRate) phase_ = phase;
}

void PcSpeaker::play_until_now() {
  const int64_t now = wiring_.clock.now_ns();
  // A machine that stood still does not catch up.
  const int64_t elapsed = std::clamp<int64_t>(now - played_until_ns_, 0, kSecondNs);
  const int64_t frames = elapsed * kRate / kSecondNs;
  played_until_ns_ = elapsed == kSecondNs ? now : played_until_ns_ + frames * kSecondNs / kRate;
  if (period_ == 0 || frames == 0) return;
  std::vector<int16_t> samples(static_cast<size_t>(frames));
  const uint64_t whole = period_ * kRate;
  for (int16_t& sample : samples) {
    sample = phase_ < whole / 2 ? kLoud : static_cast<int16_t>(-kLoud);
    phase_ = (phase_ + I8254::kHz) % whole;
  }
  output_->play(samples);
}

void PcSpeaker::tick() {
  play_until_now();
  timer_->arm(wiring_.clock.now_ns() + kTickNs);
}

void PcSpeaker::tone(uint64_t period) {
  if (period < kShortest || period > kLongest) period = 0;
  if (period == period_) return;
  play_until_now();
  if (period_ == 0) {
    played_until_ns_ = wiring_.clock.now_ns();
    output_->set_active(true);
    timer_->arm(played_until_ns_ + kTickNs);
  }
  phase_ = 0;
  period_ = period;
  if (period_ != 0) return;
  timer_->cancel();
  output_->set_active(false);
}

}  // namespace rhea::devices
