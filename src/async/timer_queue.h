// Pending timers of one clock, earliest first, those with equal deadlines in the order they were armed: a
// binary heap whose nodes know their place, so that arming and cancelling never allocate. The caller does the
// locking.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

namespace rhea::async {

struct TimerNode {
  static constexpr size_t kIdle = SIZE_MAX;

  std::function<void()> callback;
  int64_t deadline_ns = 0;
  uint64_t order = 0;
  size_t place = kIdle;  // in the heap

  bool armed() const { return place != kIdle; }
};

class TimerQueue {
 public:
  // Returns whether the node is now the earliest.
  bool arm(TimerNode& node, int64_t deadline_ns);
  void cancel(TimerNode& node);
  std::optional<int64_t> earliest() const;
  // Takes the earliest node if its deadline is not after `now_ns`.
  TimerNode* pop_due(int64_t now_ns);

 private:
  void sift_up(size_t place);
  void sift_down(size_t place);
  void put(size_t place, TimerNode* node);

  std::vector<TimerNode*> heap_;
  uint64_t next_order_ = 0;
};

}  // namespace rhea::async
