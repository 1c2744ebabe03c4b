// A linear frame buffer in a device's own memory: compared and drawn thirty times a second while it changes,
// and after a second without a change left alone until the guest writes to it again.
//
// Caller holds the machine lock.
#pragma once

#include <functional>
#include <memory>
#include <optional>

#include "async/event_loop.h"
#include "devices/display/linear_frame.h"
#include "memory/write_watch.h"

namespace rhea::devices {

class WatchedFrame {
 public:
  // loop: null, or memory null: it is always compared. written: the screen is to be refreshed again.
  WatchedFrame(async::EventLoop* loop, memory::RamBlock* memory, std::function<void()> written);

  // Draws and returns when to do so again, as ScreenSource::refresh() does.
  std::optional<int64_t> draw(display::Screen& screen, const LinearFrame::Layout& layout,
                              const uint8_t* pixels, const LinearFrame::Palette* palette);
  void forget();

 private:
  LinearFrame frame_;
  std::unique_ptr<memory::WriteWatch> watch_;
  unsigned still_ = 0;
};

}  // namespace rhea::devices
