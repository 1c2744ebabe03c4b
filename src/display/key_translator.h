// One viewer's keys: keysyms ("an A was typed") or keys ("the key at Q's place") become presses and releases
// of keys of the guest's keyboard.
//
// If a keysym needs other modifiers than are held (a viewer's layout differs from the guest's, a script sends
// "A" without Shift, Caps Lock is on in the guest), they are pressed or released around it. Caller holds the
// machine lock.
#pragma once

#include <bitset>
#include <functional>
#include <map>

#include "display/layout.h"

namespace rhea::display {

class KeyTranslator {
 public:
  struct Wiring {
    const Layout* layout;
    std::function<void(Key key, bool down)> emit;
    std::function<unsigned()> indicators;  // the guest's
  };
  explicit KeyTranslator(Wiring wiring) : wiring_(std::move(wiring)) {}

  void keysym(uint32_t keysym, bool down);
  void key(Key key, bool down);
  // The viewer has gone.
  void release_all();

 private:
  bool held(Key key) const { return held_[static_cast<size_t>(key)]; }
  uint8_t modifiers() const;
  KeyStroke choose(uint32_t keysym, const std::vector<KeyStroke>& strokes) const;
  void press(const KeyStroke& stroke);

  Wiring wiring_;
  std::bitset<kKeyCount> held_;
  std::map<uint32_t, Key> pressed_;  // by keysym
};

}  // namespace rhea::display
