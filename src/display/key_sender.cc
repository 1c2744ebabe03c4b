#include "display/key_sender.h"

#include <ranges>

namespace rhea::display {

namespace {

// Between two chords, so that a guest that polls sees each of them.
constexpr int64_t kPauseNs = 10'000'000;

}  // namespace

KeySender::KeySender(InputHub& hub, async::Clock& clock)
    : hub_(hub), clock_(clock), timer_(clock.make_timer([this] { held_ ? release() : press(); })) {}

void KeySender::send(std::vector<Key> keys, int64_t hold_ns) {
  if (queue_.size() >= kMaxChords) return;
  queue_.push_back({std::move(keys), hold_ns});
  if (queue_.size() == 1 && !timer_->armed()) press();
}

void KeySender::press() {
  if (queue_.empty()) return;
  held_ = true;
  for (const Key key : queue_.front().keys) hub_.key(key, true);
  timer_->arm(clock_.now_ns() + queue_.front().hold_ns);
}

void KeySender::release() {
  held_ = false;
  for (const Key key : queue_.front().keys | std::views::reverse) hub_.key(key, false);
  queue_.pop_front();
  timer_->arm(clock_.now_ns() + kPauseNs);
}

}  // namespace rhea::display
