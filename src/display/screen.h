// One screen of the machine: between the graphics device that draws it and the viewers (VNC clients, windows,
// a terminal, screen dumps) that look at it.
//
// The device is asked to bring the surface up to date at up to 30 Hz, and only while a viewer looks; when it
// says that nothing can change unnoticed, it is not asked again before wake(). Caller holds the machine lock.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "async/clock.h"
#include "display/key.h"
#include "display/surface.h"

namespace rhea::display {

// The shape of a pointer that the guest's hardware draws above the picture.
struct Cursor {
  unsigned width = 0, height = 0;
  unsigned hot_x = 0, hot_y = 0;
  std::vector<uint32_t> argb;  // width * height, not premultiplied
};

// A page of text, where the device shows text: for viewers without pixels.
struct TextCell {
  uint8_t character = ' ';   // in code page 437
  uint8_t attribute = 0x07;  // VGA: bits 0..3 foreground, 4..7 background
  bool operator==(const TextCell&) const = default;
};
struct TextPage {
  unsigned columns = 0, rows = 0;
  std::vector<TextCell> cells;
  bool cursor_shown = false;
  unsigned cursor_x = 0, cursor_y = 0;
};

// The graphics device's side.
class ScreenSource {
 public:
  virtual ~ScreenSource() = default;
  // Brings the surface up to date and reports each changed rectangle. Returns nanoseconds until it should be
  // asked again, or nothing: not before it calls Screen::wake().
  virtual std::optional<int64_t> refresh() = 0;
  // Fills the page and returns true, or false: it shows graphics.
  virtual bool text(TextPage&) { return false; }
  // Keys pressed on this screen that are not for the guest: true if it takes them.
  virtual bool key(Key key, bool down) {
    static_cast<void>(key);
    static_cast<void>(down);
    return false;
  }
  // The screen is destroyed before its source has detached itself.
  virtual void screen_gone() {}
  // A viewer would like this size (a window was resized): for EDID and hot-plug of modes.
  virtual void size_wanted(unsigned width, unsigned height) {
    static_cast<void>(width);
    static_cast<void>(height);
  }
};

class Viewer {
 public:
  virtual ~Viewer() = default;
  // A new surface (size or contents): all of it is to be redrawn, the one before is gone.
  virtual void surface_changed(const Surface& surface) = 0;
  virtual void changed(const Rect& area) = 0;
  // Null: no hardware cursor, the guest draws its own.
  virtual void cursor_changed(const Cursor* cursor) { static_cast<void>(cursor); }
};

class Screen {
 public:
  static constexpr int64_t kRefreshNs = 33'000'000;

  // clock is the monotonic one. label is for people ("VGA").
  Screen(async::Clock& clock, std::string label);
  ~Screen();
  Screen(const Screen&) = delete;
  Screen& operator=(const Screen&) = delete;

  const std::string& label() const { return label_; }
  void set_label(std::string label) { label_ = std::move(label); }

  // Device side. A source detaches itself (null) before it is gone.
  void set_source(ScreenSource* source);
  bool has_source() const { return source_ != nullptr; }
  // Makes a black surface of this size, unless it has this size already, and tells the viewers.
  Surface& resize(unsigned width, unsigned height);
  void changed(const Rect& area);
  void set_cursor(std::shared_ptr<const Cursor> cursor);
  // Something may have changed after refresh() had said that nothing would.
  void wake();
  // Whether refreshing has any use: devices may skip their tracking otherwise.
  bool watched() const { return !viewers_.empty(); }

  // Viewer side. A viewer is added while it really looks (a client is connected, a window is visible); it is
  // told about the surface at once and removes itself before it is gone. Calling add twice changes nothing.
  void add(Viewer& viewer);
  void remove(Viewer& viewer);
  const Surface& surface() const { return *surface_; }
  Surface& surface() { return *surface_; }
  const std::shared_ptr<const Cursor>& cursor() const { return cursor_; }
  // Brings the surface up to date now (a screen dump).
  void refresh();
  bool text(TextPage& page);
  // Smaller than any guest likes it is not passed on.
  void want_size(unsigned width, unsigned height);
  bool key(Key key, bool down) { return source_ != nullptr && source_->key(key, down); }

 private:
  void run();
  void schedule(std::optional<int64_t> wait_ns);

  async::Clock& clock_;
  std::string label_;
  ScreenSource* source_ = nullptr;
  std::unique_ptr<Surface> surface_;
  std::shared_ptr<const Cursor> cursor_;
  std::vector<Viewer*> viewers_;
  std::unique_ptr<async::Timer> timer_;
  int64_t last_ns_ = 0;
  bool running_ = false;
};

}  // namespace rhea::display
