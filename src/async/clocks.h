// The three real clocks. Their timers fire on the event loop's thread with the machine lock held; time may be
// read and timers armed from any thread. A timer is destroyed, or cancelled with the promise that its
// callback does not run any more, with the machine lock held (the destructor takes it by itself).
#pragma once

#include <time.h>

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>

#include "async/clock.h"
#include "async/timer_queue.h"

namespace rhea::async {

class EventLoop;

class LoopClock : public Clock {
 public:
  explicit LoopClock(EventLoop& loop) : loop_(loop) {}
  std::unique_ptr<Timer> make_timer(std::function<void()> callback) override;

  // For the loop: nanoseconds until the next timer (0 or less when due), nothing if none can become due.
  std::optional<int64_t> next_wait_ns() const;
  std::optional<int64_t> next_deadline() const;
  // For the loop, which holds the machine lock: runs timers that are due, a bounded number. Returns whether
  // any ran.
  bool run_due();

 protected:
  virtual bool running() const { return true; }
  virtual bool loop_runs_timers() const { return true; }
  void wake_loop() const;

 private:
  class LoopTimer;

  EventLoop& loop_;
  mutable std::mutex mutex_;  // queue_ and the nodes in it; taken after the machine lock
  TimerQueue queue_;
};

// CLOCK_REALTIME or CLOCK_MONOTONIC as it is.
class HostClock final : public LoopClock {
 public:
  HostClock(EventLoop& loop, clockid_t id) : LoopClock(loop), id_(id) {}
  int64_t now_ns() const override;

 private:
  clockid_t id_;
};

// The guest's time: begins at 0 and stopped, moves while the machine runs.
class VirtualClock final : public LoopClock {
 public:
  using LoopClock::LoopClock;
  int64_t now_ns() const override;
  int64_t shown_ns() const override;
  void show_until(int64_t limit_ns) override { limit_ns_.store(limit_ns, std::memory_order_relaxed); }
  void start();
  void stop();
  // From now on somebody else counts the time, and calls run_due() in the loop's place with the machine lock
  // held, on any thread. Before the first start().
  void follow(std::function<int64_t()> source) { source_ = std::move(source); }
  bool follows() const { return source_ != nullptr; }
  // Loading a saved machine: only while stopped.
  void set_ns(int64_t now_ns);

 protected:
  bool loop_runs_timers() const override { return !follows(); }
  bool running() const override { return stopped_at_ns_.load(std::memory_order_acquire) == kRunning; }

 private:
  static constexpr int64_t kRunning = INT64_MIN;

  std::atomic<int64_t> stopped_at_ns_{0};
  std::function<int64_t()> source_;
  std::atomic<int64_t> limit_ns_{INT64_MAX};
  std::atomic<int64_t> offset_ns_{0};  // guest time minus CLOCK_MONOTONIC
};

}  // namespace rhea::async
