#include "audio/backend.h"

#include <algorithm>

namespace rhea::audio {

namespace {

// One output that is this much ahead is not held up by another that has nothing to say.
constexpr unsigned kPatienceMs = 100;

int16_t clamp16(int value) {
  return static_cast<int16_t>(std::clamp(value, -32768, 32767));
}

Format sane(Format format) {
  format.rate = std::clamp(format.rate, kMinRate, kMaxRate);
  format.channels = std::clamp(format.channels, 1u, kMaxChannels);
  return format;
}

}  // namespace

void Converter::convert(std::span<const int16_t> in, std::vector<int16_t>& out) {
  const uint64_t step = (uint64_t{from_.rate} << 32) / to_.rate;
  constexpr uint64_t kOne = uint64_t{1} << 32;
  for (size_t at = 0; at + from_.channels <= in.size(); at += from_.channels) {
    const int16_t frame[kMaxChannels] = {in[at], in[at + from_.channels - 1]};
    if (!started_) {
      std::ranges::copy(frame, last_);
      started_ = true;
    }
    for (; position_ < kOne; position_ += step) {
      int mixed[kMaxChannels];
      for (unsigned c = 0; c < kMaxChannels; ++c) {
        const int64_t difference = int64_t{frame[c]} - last_[c];
        mixed[c] = last_[c] + static_cast<int>(difference * static_cast<int64_t>(position_ >> 16) / 65536);
      }
      if (to_.channels == 1) {
        out.push_back(clamp16((mixed[0] + mixed[1]) / 2));
      } else {
        out.push_back(clamp16(mixed[0]));
        out.push_back(clamp16(mixed[1]));
      }
    }
    position_ -= kOne;
    std::ranges::copy(frame, last_);
  }
}

Capture::Capture(Backend& backend, Format format, Heard heard)
    : backend_(&backend), heard_(std::move(heard)), converter_(backend.format(), sane(format)) {
  backend.captures_.push_back(this);
}

Capture::~Capture() {
  if (backend_ != nullptr) std::erase(backend_->captures_, this);
}

Output::Output(Backend& backend, Format format)
    : backend_(backend), format_(sane(format)), converter_(format_, backend.format()) {}

Output::~Output() {
  std::erase(backend_.outputs_, this);
  if (active_) backend_.fell_silent();
}

void Output::set_format(Format format) {
  format = sane(format);
  if (format == format_) return;
  format_ = format;
  converter_ = Converter(format_, backend_.format());
}

void Output::set_volume(unsigned left, unsigned right) {
  volume_[0] = std::min(left, 256u);
  volume_[1] = std::min(right, 256u);
}

void Output::set_active(bool active) {
  if (active == active_) return;
  active_ = active;
  waiting_.clear();
  converter_ = Converter(format_, backend_.format());
  backend_.mix();
  if (!active) backend_.fell_silent();
}

void Output::play(std::span<const int16_t> samples) {
  if (!active_) return;
  std::vector<int16_t> converted;
  converter_.convert(samples, converted);
  const unsigned channels = backend_.format().channels;
  for (size_t i = 0; i < converted.size(); ++i) {
    const unsigned volume = channels == 1 ? (volume_[0] + volume_[1]) / 2 : volume_[i % channels];
    waiting_.push_back(clamp16(converted[i] * static_cast<int>(volume) / 256));
  }
  backend_.mix();
}

Input::Input(Backend& backend, Format format)
    : backend_(backend),
      format_(sane(format)),
      converter_(std::make_unique<Converter>(backend.format(), format_)) {}

void Input::set_format(Format format) {
  format = sane(format);
  if (format == format_) return;
  format_ = format;
  waiting_.clear();
  converter_ = std::make_unique<Converter>(backend_.format(), format_);
}

void Input::record(std::span<int16_t> samples) {
  if (!backend_.source_) {
    std::ranges::fill(samples, int16_t{0});
    return;
  }
  const Format& from = backend_.format();
  while (waiting_.size() < samples.size()) {
    const size_t missing = (samples.size() - waiting_.size()) / format_.channels + 1;
    std::vector<int16_t> raw((missing * from.rate / format_.rate + 1) * from.channels);
    std::vector<int16_t> converted;
    backend_.source_->record(raw);
    converter_->convert(raw, converted);
    waiting_.insert(waiting_.end(), converted.begin(), converted.end());
  }
  std::copy_n(waiting_.begin(), samples.size(), samples.begin());
  waiting_.erase(waiting_.begin(), waiting_.begin() + static_cast<ptrdiff_t>(samples.size()));
}

Backend::Backend(std::string id, Format format, std::unique_ptr<Sink> sink, std::unique_ptr<Source> source)
    : id_(std::move(id)), format_(sane(format)), sink_(std::move(sink)), source_(std::move(source)) {}

Backend::~Backend() {
  for (Capture* capture : captures_) capture->backend_ = nullptr;
}

std::unique_ptr<Output> Backend::open_output(Format format) {
  std::unique_ptr<Output> output(new Output(*this, format));
  outputs_.push_back(output.get());
  return output;
}

// As much as all active outputs have; more when one of them keeps the others waiting.
void Backend::mix() {
  size_t least = SIZE_MAX, most = 0;
  for (const Output* output : outputs_) {
    if (!output->active_) continue;
    least = std::min(least, output->waiting_.size());
    most = std::max(most, output->waiting_.size());
  }
  const size_t patience = size_t{format_.rate} * format_.channels * kPatienceMs / 1000;
  size_t count = most > patience ? std::max(least, most - patience) : least;
  if (least == SIZE_MAX || count == 0) return;
  count -= count % format_.channels;
  std::vector<int> sum(count);
  for (Output* output : outputs_) {
    const size_t have = std::min(count, output->waiting_.size());
    for (size_t i = 0; i < have; ++i) sum[i] += output->waiting_[i];
    output->waiting_.erase(output->waiting_.begin(), output->waiting_.begin() + static_cast<ptrdiff_t>(have));
  }
  if (!sink_ && captures_.empty()) return;
  std::vector<int16_t> samples(count);
  std::ranges::transform(sum, samples.begin(), clamp16);
  if (sink_) sink_->play(samples);
  for (Capture* capture : captures_) {
    std::vector<int16_t> converted;
    capture->converter_.convert(samples, converted);
    if (!converted.empty()) capture->heard_(converted);
  }
}

// An output has stopped: was it the last?
void Backend::fell_silent() {
  if (std::ranges::any_of(outputs_, &Output::active_)) return;
  for (const Capture* capture : captures_) capture->heard_({});
}

}  // namespace rhea::audio
