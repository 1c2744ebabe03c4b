#include "display/key_translator.h"

#include "display/input.h"

namespace rhea::display {

namespace {

// Letters of Latin 1, on which Caps Lock works as Shift does.
bool is_letter(uint32_t keysym) {
  return (keysym >= 'a' && keysym <= 'z') || (keysym >= 'A' && keysym <= 'Z') ||
         (keysym >= 0xc0 && keysym <= 0xfe && keysym != 0xd7 && keysym != 0xdf && keysym != 0xf7);
}

constexpr size_t kMaxPressed = kKeyCount;  // keysyms that a viewer may hold at a time

}  // namespace

void KeyTranslator::key(Key key, bool down) {
  if (key == Key::Unmapped || (!down && !held(key))) return;
  held_[static_cast<size_t>(key)] = down;
  wiring_.emit(key, down);
}

void KeyTranslator::release_all() {
  for (unsigned i = 0; i < kKeyCount; ++i) key(static_cast<Key>(i), false);
  pressed_.clear();
}

uint8_t KeyTranslator::modifiers() const {
  return static_cast<uint8_t>((held(Key::Shift) || held(Key::ShiftR) ? kShiftModifier : 0) |
                              (held(Key::AltR) ? kAltGrModifier : 0));
}

// The stroke that goes with what is held, or the plainest.
KeyStroke KeyTranslator::choose(uint32_t keysym, const std::vector<KeyStroke>& strokes) const {
  const bool caps = is_letter(keysym) && (wiring_.indicators() & kCapsLed) != 0;
  KeyStroke first = strokes.front();
  if (caps) first.modifiers ^= kShiftModifier;
  for (KeyStroke stroke : strokes) {
    if (caps) stroke.modifiers ^= kShiftModifier;
    if (stroke.modifiers == modifiers()) return stroke;
  }
  return first;
}

void KeyTranslator::press(const KeyStroke& stroke) {
  const bool shortcut =
      held(Key::Ctrl) || held(Key::CtrlR) || held(Key::Alt) || held(Key::MetaL) || held(Key::MetaR);
  const uint8_t differs = shortcut ? 0 : stroke.modifiers ^ modifiers();
  const bool add_shift = (differs & stroke.modifiers & kShiftModifier) != 0;
  const bool add_alt_gr = (differs & stroke.modifiers & kAltGrModifier) != 0;
  const bool drop_shift = (differs & kShiftModifier) != 0 && !add_shift;
  const bool left = held(Key::Shift), right = held(Key::ShiftR);
  if (add_shift) wiring_.emit(Key::Shift, true);
  if (add_alt_gr) wiring_.emit(Key::AltR, true);
  if (drop_shift && left) wiring_.emit(Key::Shift, false);
  if (drop_shift && right) wiring_.emit(Key::ShiftR, false);
  key(stroke.key, true);
  if (add_shift) wiring_.emit(Key::Shift, false);
  if (add_alt_gr) wiring_.emit(Key::AltR, false);
  if (drop_shift && left) wiring_.emit(Key::Shift, true);
  if (drop_shift && right) wiring_.emit(Key::ShiftR, true);
}

void KeyTranslator::keysym(uint32_t keysym, bool down) {
  if (const Key fixed = Layout::fixed_key(keysym); fixed != Key::Unmapped) return key(fixed, down);
  const auto& strokes = wiring_.layout->find(keysym);
  if (!down) {
    const auto at = pressed_.find(keysym);
    if (at != pressed_.end()) {
      key(at->second, false);
      pressed_.erase(at);
    } else if (!strokes.empty()) {
      key(strokes.front().key, false);  // 'a' was pressed, then Shift, and 'A' is released
    }
    return;
  }
  if (strokes.empty() || pressed_.size() >= kMaxPressed) return;
  const KeyStroke stroke = choose(keysym, strokes);
  pressed_[keysym] = stroke.key;
  press(stroke);
}

}  // namespace rhea::display
