// A thread that blocks in a sound library, so that the machine does not.
#pragma once

#include <array>
#include <functional>
#include <thread>

#include "audio/backend.h"
#include "audio/ring.h"

namespace rhea::audio {

inline constexpr size_t kChunk = 1024;  // samples that a thread moves at a time

// `write` plays samples and returns when it can take more; false: the device is gone. `close` is called last,
// on the thread.
class SinkThread final : public Sink {
 public:
  using Write = std::function<bool(std::span<const int16_t>)>;
  SinkThread(size_t ring_samples, Write write, std::function<void()> close)
      : ring_(ring_samples),
        write_(std::move(write)),
        close_(std::move(close)),
        thread_([this] { main(); }) {}
  ~SinkThread() override {
    ring_.stop();
    thread_.join();
  }
  void play(std::span<const int16_t> samples) override { ring_.put(samples); }

 private:
  void main() {
    std::array<int16_t, kChunk> samples;
    while (ring_.wait() && !ring_.stopping()) {
      if (!write_(std::span(samples).first(ring_.take(samples)))) break;
    }
    close_();
  }
  Ring ring_;
  Write write_;
  std::function<void()> close_;
  std::thread thread_;
};

// `read` fills all of the samples; false: the device is gone.
class SourceThread final : public Source {
 public:
  using Read = std::function<bool(std::span<int16_t>)>;
  SourceThread(size_t ring_samples, Read read, std::function<void()> close)
      : ring_(ring_samples), read_(std::move(read)), close_(std::move(close)), thread_([this] { main(); }) {}
  ~SourceThread() override {
    ring_.stop();
    thread_.join();
  }
  void record(std::span<int16_t> samples) override {
    const size_t count = ring_.take(samples);
    for (int16_t& sample : samples.subspan(count)) sample = 0;
  }

 private:
  void main() {
    std::array<int16_t, kChunk> samples;
    while (!ring_.stopping() && read_(samples)) ring_.put(samples);
    close_();
  }
  Ring ring_;
  Read read_;
  std::function<void()> close_;
  std::thread thread_;
};

// How many samples a ring should hold.
inline size_t ring_samples(unsigned rate, unsigned channels, unsigned buffer_us) {
  constexpr unsigned kDefaultUs = 200'000;
  const uint64_t us = buffer_us != 0 ? buffer_us : kDefaultUs;
  return static_cast<size_t>(us * rate / 1'000'000 + 1) * channels + kChunk;
}

}  // namespace rhea::audio
