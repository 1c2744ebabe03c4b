// `-k`: which key of the guest's keyboard, with which modifiers, gives an X11 keysym. Viewers that only know
// what was typed, not which key was pressed, need it.
//
// en-us is built in; the others come from the host's XKB data (libxkbcommon, loaded when it is asked for)
// under QEMU's names. Keysyms: X11's keysymdef.h. Keys that are the same everywhere (cursor, function keys,
// modifiers, keypad) do not depend on the layout.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "display/key.h"

namespace rhea::display {

inline constexpr uint8_t kShiftModifier = 1, kAltGrModifier = 2;

// One way to get a keysym.
struct KeyStroke {
  Key key;
  uint8_t modifiers;
  bool operator==(const KeyStroke&) const = default;
};

class Layout {
 public:
  // en-us.
  Layout();
  // Errors: NotFound (no such layout, or the host has no XKB data for it).
  static Result<Layout> load(std::string_view name);
  static std::vector<std::string_view> names();

  // The key of a keysym that is at the same place on each keyboard and means the same with all modifiers.
  static Key fixed_key(uint32_t keysym);
  // The ways to get a character's keysym, the plainest first.
  const std::vector<KeyStroke>& find(uint32_t keysym) const;

  // For loaders.
  void clear() { strokes_.clear(); }
  void add(uint32_t keysym, KeyStroke stroke);

 private:
  std::map<uint32_t, std::vector<KeyStroke>> strokes_;
};

}  // namespace rhea::display
