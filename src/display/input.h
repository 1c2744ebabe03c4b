// What people do with keyboard and mouse, on its way from viewers (VNC, windows, the monitor) to the guest's
// input devices.
//
// A device registers a sink for as long as it lives. Of each class (keyboards, pointers that report motion,
// pointers that report places) the sink that was activated last gets the events; a USB device activates
// itself when the guest has configured it and deactivates itself when it is unplugged or reset. Viewers
// listen for what flows back: indicators and whether the guest wants places or motion. All calls, both ways,
// hold the machine lock; nothing blocks.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "display/key.h"

namespace rhea::display {

enum class Button : uint8_t { Left, Middle, Right, Side, Extra };
inline constexpr unsigned kButtonCount = 5;
// Places run from 0 to this in both directions, over the whole screen.
inline constexpr int kMaxPlace = 0x7fff;

// The guest's indicators, in the bit order of the PS/2 keyboard.
inline constexpr unsigned kScrollLed = 1, kNumLed = 2, kCapsLed = 4;

class KeyboardSink {
 public:
  virtual ~KeyboardSink() = default;
  virtual std::string_view input_name() const = 0;  // as in "info mice": "QEMU PS/2 Keyboard"
  virtual void key(Key key, bool down) = 0;
};

// Events between two calls of sync() belong to one report.
class PointerSink {
 public:
  virtual ~PointerSink() = default;
  virtual std::string_view input_name() const = 0;  // "QEMU PS/2 Mouse"
  virtual bool takes_places() const = 0;            // a tablet; never changes while registered
  virtual void motion(int dx, int dy) = 0;          // right and down positive
  virtual void place(int x, int y) = 0;             // 0..kMaxPlace
  virtual void button(Button button, bool down) = 0;
  virtual void wheel(int dz, int dw) = 0;  // clicks towards the user, clicks to the right: positive
  virtual void sync() = 0;
};

class InputListener {
 public:
  virtual ~InputListener() = default;
  virtual void indicators_changed(unsigned leds) = 0;
  virtual void pointer_kind_changed(bool places) = 0;
};

class InputHub {
 public:
  // From viewers. Nothing happens while the machine is stopped (`set_running(false)`).
  void key(Key key, bool down);
  void pointer_relative(int dx, int dy);
  void pointer_absolute(int x, int y);
  void button(Button button, bool down);
  void wheel(int dz, int dw = 0);
  // Ends a group of pointer events.
  void sync();

  // Whether pointers should send places (the last activated pointer is a tablet) or motion.
  bool wants_places() const;
  unsigned indicators() const { return indicators_; }
  bool is_down(Key key) const { return down_[static_cast<unsigned>(key)]; }

  void listen(InputListener& listener);
  void unlisten(InputListener& listener);

  // From devices. A new sink is the last in the order; activate() makes it the first, deactivate() the last.
  void add(KeyboardSink& sink);
  void remove(KeyboardSink& sink);
  void activate(KeyboardSink& sink);
  void deactivate(KeyboardSink& sink);
  void add(PointerSink& sink);
  void remove(PointerSink& sink);
  void activate(PointerSink& sink);
  void deactivate(PointerSink& sink);
  // The indicators of a keyboard: taken over if it is the one that gets the keys.
  void set_indicators(const KeyboardSink& sink, unsigned leds);

  // For the monitor: pointers in a lasting order, the current one marked.
  struct Pointer {
    unsigned index;
    std::string name;
    bool places;
    bool current;
  };
  std::vector<Pointer> pointers() const;
  // `mouse_set`: false if there is no such index.
  bool select_pointer(unsigned index);

  void set_running(bool running) { running_ = running; }
  // Called before each event while set: a guest that sleeps is woken by its keyboard.
  void on_activity(std::function<void()> listener) { activity_ = std::move(listener); }

 private:
  struct NumberedPointer {
    PointerSink* sink;
    unsigned index;
  };
  bool begin();
  PointerSink* pointer(bool places) const;
  PointerSink* first_pointer() const { return pointers_.empty() ? nullptr : pointers_.front().sink; }
  template <class Change>
  void change_pointers(Change change);

  std::vector<KeyboardSink*> keyboards_;   // the first gets the keys
  std::vector<NumberedPointer> pointers_;  // the first gets buttons and wheel
  std::vector<InputListener*> listeners_;
  std::vector<PointerSink*> unsynced_;
  std::function<void()> activity_;
  unsigned indicators_ = 0;
  unsigned next_index_ = 2;  // QEMU counts pointers from 2 on a PC
  bool running_ = true;
  bool down_[kKeyCount] = {};
};

}  // namespace rhea::display
