#include "async/clocks.h"

#include <algorithm>
#include <utility>

#include "async/event_loop.h"
#include "base/check.h"

namespace rhea::async {
namespace {

constexpr int kMaxTimersPerTurn = 64;  // a timer that lags behind must not starve file descriptors

int64_t read_clock(clockid_t id) {
  timespec now{};
  ::clock_gettime(id, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

}  // namespace

class LoopClock::LoopTimer final : public Timer {
 public:
  LoopTimer(LoopClock& clock, std::function<void()> callback) : clock_(clock) {
    node_.callback = std::move(callback);
  }

  ~LoopTimer() override {
    const std::lock_guard machine(clock_.loop_.machine_lock());  // a callback in progress ends first
    cancel();
  }

  void arm(int64_t deadline_ns) override {
    bool earliest = false;
    {
      const std::lock_guard lock(clock_.mutex_);
      earliest = clock_.queue_.arm(node_, deadline_ns);
    }
    if (earliest) clock_.wake_loop();
  }

  void cancel() override {
    const std::lock_guard lock(clock_.mutex_);
    clock_.queue_.cancel(node_);
  }

  bool armed() const override {
    const std::lock_guard lock(clock_.mutex_);
    return node_.armed();
  }

 private:
  LoopClock& clock_;
  TimerNode node_;
};

std::unique_ptr<Timer> LoopClock::make_timer(std::function<void()> callback) {
  return std::make_unique<LoopTimer>(*this, std::move(callback));
}

void LoopClock::wake_loop() const {
  if (!loop_runs_timers()) return;
  loop_.wake_unless_current();
}

std::optional<int64_t> LoopClock::next_wait_ns() const {
  if (!running()) return std::nullopt;
  const std::lock_guard lock(mutex_);
  const auto deadline = queue_.earliest();
  if (!deadline) return std::nullopt;
  const int64_t now = now_ns();
  return *deadline <= now ? 0 : *deadline - now;
}

std::optional<int64_t> LoopClock::next_deadline() const {
  const std::lock_guard lock(mutex_);
  return queue_.earliest();
}

bool LoopClock::run_due() {
  int fired = 0;
  while (fired < kMaxTimersPerTurn && running()) {
    TimerNode* node = nullptr;
    {
      const std::lock_guard lock(mutex_);
      node = queue_.pop_due(now_ns());
    }
    if (node == nullptr) break;
    // The callback may destroy its own timer, so it runs from a copy of the (small) function object.
    const auto callback = node->callback;
    callback();
    ++fired;
  }
  return fired != 0;
}

int64_t HostClock::now_ns() const {
  return read_clock(id_);
}

int64_t VirtualClock::now_ns() const {
  if (source_) return source_();
  const int64_t stopped_at = stopped_at_ns_.load(std::memory_order_acquire);
  if (stopped_at != kRunning) return stopped_at;
  return read_clock(CLOCK_MONOTONIC) + offset_ns_.load(std::memory_order_acquire);
}

int64_t VirtualClock::shown_ns() const {
  return std::min(now_ns(), limit_ns_.load(std::memory_order_relaxed));
}

void VirtualClock::start() {
  const int64_t stopped_at = stopped_at_ns_.load(std::memory_order_acquire);
  if (stopped_at == kRunning) return;
  offset_ns_.store(stopped_at - read_clock(CLOCK_MONOTONIC), std::memory_order_release);
  stopped_at_ns_.store(kRunning, std::memory_order_release);
  wake_loop();
}

void VirtualClock::stop() {
  if (running()) stopped_at_ns_.store(now_ns(), std::memory_order_release);
}

void VirtualClock::set_ns(int64_t now_ns) {
  CHECK(!running());
  stopped_at_ns_.store(now_ns, std::memory_order_release);
}

}  // namespace rhea::async
