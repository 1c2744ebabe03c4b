// -accel tcg,thread=single: one vCPU runs at a time, in the order of asking.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <optional>

namespace rhea::machine {

class Turns {
 public:
  void take(unsigned vcpu) {
    std::unique_lock hold(mutex_);
    uint64_t ticket = next_++;
    changed_.wait(hold, [&] { return ticket == serving_; });
    holder_ = vcpu;
  }
  void give() {
    std::scoped_lock hold(mutex_);
    ++serving_;
    holder_.reset();
    changed_.notify_all();
  }
  // Who should be asked to give it up because others wait.
  std::optional<unsigned> contended() {
    std::scoped_lock hold(mutex_);
    return next_ - serving_ > 1 ? holder_ : std::nullopt;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  uint64_t next_ = 0, serving_ = 0;
  std::optional<unsigned> holder_;
};

}  // namespace rhea::machine
