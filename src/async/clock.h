// The three clocks and their timers, as devices see them (Clock::Virtual stops with the VM, Clock::Host is
// wall time for the RTC, Clock::Monotonic never stops). Times are nanoseconds.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

namespace rhea::async {

// One pending callback. Destroying it cancels it. Callbacks run on the main thread with the machine lock
// held; arm/cancel may be called from any thread.
class Timer {
 public:
  virtual ~Timer() = default;
  virtual void arm(int64_t deadline_ns) = 0;  // absolute, in its clock's time; replaces an earlier deadline
  virtual void cancel() = 0;
  virtual bool armed() const = 0;
};

class Clock {
 public:
  virtual ~Clock() = default;
  virtual int64_t now_ns() const = 0;
  // What a guest that asks for the time is shown: now, but nothing beyond the limit.
  virtual int64_t shown_ns() const { return now_ns(); }
  virtual void show_until(int64_t) {}
  virtual std::unique_ptr<Timer> make_timer(std::function<void()> callback) = 0;
};

}  // namespace rhea::async
