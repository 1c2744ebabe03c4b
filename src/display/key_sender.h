// `sendkey` and QMP's send-key: presses keys together and releases them, the last one first, when the hold
// time is over. What is sent meanwhile waits its turn. Caller holds the machine lock.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "async/clock.h"
#include "display/input.h"

namespace rhea::display {

class KeySender {
 public:
  // The virtual clock: a stopped machine keeps the keys for later.
  KeySender(InputHub& hub, async::Clock& clock);
  void send(std::vector<Key> keys, int64_t hold_ns);
  bool idle() const { return queue_.empty(); }

 private:
  struct Chord {
    std::vector<Key> keys;
    int64_t hold_ns;
  };
  static constexpr size_t kMaxChords = 1024;  // more are dropped, as QEMU drops them
  void press();
  void release();

  InputHub& hub_;
  async::Clock& clock_;
  std::unique_ptr<async::Timer> timer_;
  std::deque<Chord> queue_;  // the first is held down, or was just released
  bool held_ = false;
};

}  // namespace rhea::display
