// The screens of a machine, in the order of their devices. The first is there from the beginning, before any
// board is made, so that viewers can be set up first: it is black until a graphics device takes it.
//
// Caller holds the machine lock.
#pragma once

#include <deque>
#include <string>
#include <string_view>

#include "display/screen.h"

namespace rhea::display {

class Screens {
 public:
  // clock is the monotonic one.
  explicit Screens(async::Clock& clock);

  Screen& primary() { return screens_.front().screen; }
  // A new device's screen. The first device gets the primary one. id is the device's id or its driver's name.
  Screen& add(std::string_view device_id, std::string label);
  // The screen of a device (monitor commands, `-vnc …,display=`), or null.
  Screen* find(std::string_view device_id);
  size_t size() const { return screens_.size(); }
  Screen& at(size_t index) { return screens_.at(index).screen; }

 private:
  struct Entry {
    Entry(async::Clock& clock, std::string label) : screen(clock, std::move(label)) {}
    std::string device;
    bool taken = false;
    Screen screen;
  };
  async::Clock& clock_;
  std::deque<Entry> screens_;  // addresses stay
};

}  // namespace rhea::display
