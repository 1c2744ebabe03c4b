#include "display/key_queue.h"

#include <algorithm>

namespace rhea::display {

KeyQueue::KeyQueue(InputHub& hub, async::Clock& clock, int64_t delay_ns)
    : hub_(hub), clock_(clock), delay_ns_(delay_ns), timer_(clock.make_timer([this] { next(); })) {}

void KeyQueue::key(Key key, bool down) {
  if (delay_ns_ == 0) return hub_.key(key, down);
  if (waiting_.size() >= kMaxWaiting) {
    const auto same = [&](const Event& event) { return event.key == key && event.down == down; };
    if (down || std::ranges::any_of(waiting_, same)) return;
  }
  waiting_.push_back({key, down});
  if (!timer_->armed()) next();
}

void KeyQueue::next() {
  if (waiting_.empty()) return;
  const Event event = waiting_.front();
  waiting_.pop_front();
  timer_->arm(clock_.now_ns() + delay_ns_);
  hub_.key(event.key, event.down);
}

}  // namespace rhea::display
