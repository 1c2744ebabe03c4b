// A window on the machine: loads a toolkit's module, runs it in a thread, hands it copies of what the screens
// show and passes keys, pointer and menu choices on to the machine.
//
// Threading: made, told about screens and destroyed with the machine lock held; the toolkit's thread takes
// only the window's own small lock, and what it asks for is posted to the event loop.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "async/event_loop.h"
#include "base/result.h"
#include "display/input.h"
#include "display/screens.h"
#include "display/window/window.h"

namespace rhea::display {

class Window final : private WindowHost, private Viewer, private InputListener {
 public:
  struct Wiring {
    async::EventLoop& loop;
    Screens& screens;
    InputHub& input;
    std::function<void(WindowAction)> act;  // called from the loop
    std::string title;
  };
  // toolkit: "gtk" or "sdl". Waits until the toolkit has connected to its display. Errors: NotFound (no
  // module), Unsupported (no display; the text is the toolkit's).
  static Result<std::unique_ptr<Window>> open(Wiring wiring, const std::string& toolkit,
                                              const WindowOptions& options);
  ~Window() override;

  // For the title.
  void set_running(bool running);

  // Whether the module is there.
  static bool available(const std::string& toolkit);

 private:
  explicit Window(Wiring wiring);
  Result<> start(const std::string& toolkit, const WindowOptions& options);
  void look_at(unsigned screen);
  void copy(const Rect& area);
  void post(std::function<void()> work);
  void wake();

  // Viewer, machine lock.
  void surface_changed(const Surface& surface) override;
  void changed(const Rect& area) override;
  // InputListener, machine lock.
  void indicators_changed(unsigned) override {}
  void pointer_kind_changed(bool places) override;

  // WindowHost, toolkit's thread.
  unsigned screens() override { return static_cast<unsigned>(names_.size()); }
  std::string screen_name(unsigned screen) override { return names_.at(screen); }
  void select(unsigned screen) override;
  void with_picture(const std::function<void(const Picture&)>& use) override;
  void key_evdev(unsigned code, bool down) override;
  void key_usb(unsigned usage, bool down) override;
  void release_keys() override;
  bool wants_places() override { return wants_places_; }
  void motion(int dx, int dy) override;
  void place(int x, int y) override;
  void button(unsigned button, bool down) override;
  void wheel(int dz, int dw) override;
  bool running() override { return running_; }
  std::string title() override { return wiring_.title; }
  void act(WindowAction action) override;
  void size_wanted(unsigned width, unsigned height) override;
  void screenshot(const std::string& path) override;
  void key(Key key, bool down);

  Wiring wiring_;
  std::vector<std::string> names_;
  Screen* looked_at_ = nullptr;
  std::vector<Key> held_;                                       // machine lock
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  // posted work outlives the window
  std::atomic<bool> running_{true}, wants_places_{false}, woken_{false};

  std::mutex mutex_;  // what follows
  std::vector<uint32_t> pixels_;
  unsigned width_ = 0, height_ = 0;
  Rect dirty_;

  std::thread thread_;
  std::atomic<WindowToolkit*> toolkit_{nullptr};  // while it runs
};

}  // namespace rhea::display
