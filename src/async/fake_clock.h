// A clock for tests: time stands still until advance() is called, which fires timers in order, each at its
// own deadline. One thread only.
#pragma once

#include <memory>
#include <utility>

#include "async/clock.h"
#include "async/timer_queue.h"

namespace rhea::async {

class FakeClock final : public Clock {
 public:
  explicit FakeClock(int64_t start_ns = 0) : now_ns_(start_ns) {}

  int64_t now_ns() const override { return now_ns_; }

  std::unique_ptr<Timer> make_timer(std::function<void()> callback) override {
    return std::make_unique<FakeTimer>(*this, std::move(callback));
  }

  // Timers that a callback arms within the span fire too.
  void advance(int64_t ns) { advance_to(now_ns_ + ns); }
  void advance_to(int64_t target_ns) {
    while (TimerNode* node = queue_.pop_due(target_ns)) {
      if (node->deadline_ns > now_ns_) now_ns_ = node->deadline_ns;
      node->callback();
    }
    now_ns_ = target_ns;
  }
  // When the next timer is due, in this clock's time.
  std::optional<int64_t> next_deadline() const { return queue_.earliest(); }

 private:
  class FakeTimer final : public Timer {
   public:
    FakeTimer(FakeClock& clock, std::function<void()> callback) : clock_(clock) {
      node_.callback = std::move(callback);
    }
    ~FakeTimer() override { clock_.queue_.cancel(node_); }
    void arm(int64_t deadline_ns) override { clock_.queue_.arm(node_, deadline_ns); }
    void cancel() override { clock_.queue_.cancel(node_); }
    bool armed() const override { return node_.armed(); }

   private:
    FakeClock& clock_;
    TimerNode node_;
  };

  int64_t now_ns_;
  TimerQueue queue_;
};

}  // namespace rhea::async
