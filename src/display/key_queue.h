// Keys on their way from a viewer to the guest, spaced out: a keyboard's buffer is short, and a viewer on a
// network delivers in bursts. Caller holds the machine lock.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>

#include "async/clock.h"
#include "display/input.h"

namespace rhea::display {

class KeyQueue {
 public:
  // The clock is one that goes on while the machine is stopped. With a delay of 0 nothing is queued.
  KeyQueue(InputHub& hub, async::Clock& clock, int64_t delay_ns);
  // Presses beyond 1024 that wait are lost; releases are not, so that no key stays down.
  void key(Key key, bool down);

 private:
  struct Event {
    Key key;
    bool down;
  };
  static constexpr size_t kMaxWaiting = 1024;
  void next();

  InputHub& hub_;
  async::Clock& clock_;
  int64_t delay_ns_;
  std::unique_ptr<async::Timer> timer_;
  std::deque<Event> waiting_;
};

}  // namespace rhea::display
