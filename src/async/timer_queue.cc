#include "async/timer_queue.h"

#include <utility>

namespace rhea::async {
namespace {

bool before(const TimerNode& a, const TimerNode& b) {
  return a.deadline_ns != b.deadline_ns ? a.deadline_ns < b.deadline_ns : a.order < b.order;
}

}  // namespace

void TimerQueue::put(size_t place, TimerNode* node) {
  heap_[place] = node;
  node->place = place;
}

void TimerQueue::sift_up(size_t place) {
  TimerNode* const node = heap_[place];
  while (place > 0) {
    const size_t parent = (place - 1) / 2;
    if (!before(*node, *heap_[parent])) break;
    put(place, heap_[parent]);
    place = parent;
  }
  put(place, node);
}

void TimerQueue::sift_down(size_t place) {
  TimerNode* const node = heap_[place];
  while (true) {
    size_t child = place * 2 + 1;
    if (child >= heap_.size()) break;
    if (child + 1 < heap_.size() && before(*heap_[child + 1], *heap_[child])) ++child;
    if (!before(*heap_[child], *node)) break;
    put(place, heap_[child]);
    place = child;
  }
  put(place, node);
}

bool TimerQueue::arm(TimerNode& node, int64_t deadline_ns) {
  cancel(node);
  node.deadline_ns = deadline_ns;
  node.order = next_order_++;
  heap_.push_back(&node);
  sift_up(heap_.size() - 1);
  return node.place == 0;
}

void TimerQueue::cancel(TimerNode& node) {
  if (!node.armed()) return;
  const size_t place = std::exchange(node.place, TimerNode::kIdle);
  TimerNode* const last = heap_.back();
  heap_.pop_back();
  if (last == &node) return;
  put(place, last);
  sift_up(place);
  sift_down(last->place);
}

std::optional<int64_t> TimerQueue::earliest() const {
  if (heap_.empty()) return std::nullopt;
  return heap_.front()->deadline_ns;
}

TimerNode* TimerQueue::pop_due(int64_t now_ns) {
  if (heap_.empty() || heap_.front()->deadline_ns > now_ns) return nullptr;
  TimerNode* const node = heap_.front();
  cancel(*node);
  return node;
}

}  // namespace rhea::async
