// Samples between the machine and a thread of the host's sound: neither waits for the other while it holds
// the machine lock. One side puts, the other takes.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <span>
#include <vector>

namespace rhea::audio {

class Ring {
 public:
  explicit Ring(size_t samples) : buffer_(samples) {}
  // Takes what fits; returns how many samples.
  size_t put(std::span<const int16_t> samples);
  // Gives what there is; returns how many samples.
  size_t take(std::span<int16_t> samples);
  // Waits until there are samples or stop() was called; false: stopped and empty.
  bool wait();
  void stop();
  bool stopping() const;

 private:
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<int16_t> buffer_;
  size_t head_ = 0, count_ = 0;
  bool stopping_ = false;
};

}  // namespace rhea::audio
