#include "devices/display/watched_frame.h"

namespace rhea::devices {

namespace {

constexpr unsigned kStillRefreshes = 30;
// Without a watch a still picture is looked at less often.
constexpr int64_t kSlowNs = 100'000'000;

}  // namespace

WatchedFrame::WatchedFrame(async::EventLoop* loop, memory::RamBlock* memory, std::function<void()> written) {
  if (loop == nullptr || memory == nullptr) return;
  watch_ = memory::WriteWatch::create(*loop, *memory, [this, written = std::move(written)] {
    still_ = 0;
    written();
  });
}

std::optional<int64_t> WatchedFrame::draw(display::Screen& screen, const LinearFrame::Layout& layout,
                                          const uint8_t* pixels, const LinearFrame::Palette* palette) {
  const bool changed = frame_.draw(screen, layout, pixels, palette);
  still_ = changed ? 0 : still_ + 1;
  if (still_ < kStillRefreshes) return 0;
  if (watch_ == nullptr) return kSlowNs;
  if (watch_->armed()) return std::nullopt;
  if (!watch_->arm()) return kSlowNs;
  // What was written before the watch began is seen now.
  if (frame_.draw(screen, layout, pixels, palette)) still_ = 0;
  return still_ == 0 ? std::optional<int64_t>(0) : std::nullopt;
}

void WatchedFrame::forget() {
  frame_.forget();
  still_ = 0;
  if (watch_ != nullptr) watch_->disarm();
}

}  // namespace rhea::devices
