#include "audio/ring.h"

#include <algorithm>

namespace rhea::audio {

size_t Ring::put(std::span<const int16_t> samples) {
  const std::scoped_lock hold(mutex_);
  const size_t count = std::min(samples.size(), buffer_.size() - count_);
  for (size_t i = 0; i < count; ++i) buffer_[(head_ + count_ + i) % buffer_.size()] = samples[i];
  count_ += count;
  changed_.notify_one();
  return count;
}

size_t Ring::take(std::span<int16_t> samples) {
  const std::scoped_lock hold(mutex_);
  const size_t count = std::min(samples.size(), count_);
  for (size_t i = 0; i < count; ++i) samples[i] = buffer_[(head_ + i) % buffer_.size()];
  head_ = (head_ + count) % buffer_.size();
  count_ -= count;
  return count;
}

bool Ring::wait() {
  std::unique_lock hold(mutex_);
  changed_.wait(hold, [this] { return count_ != 0 || stopping_; });
  return count_ != 0;
}

void Ring::stop() {
  const std::scoped_lock hold(mutex_);
  stopping_ = true;
  changed_.notify_all();
}

bool Ring::stopping() const {
  const std::scoped_lock hold(mutex_);
  return stopping_;
}

}  // namespace rhea::audio
