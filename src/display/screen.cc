#include "display/screen.h"

#include <algorithm>

namespace rhea::display {

namespace {

constexpr unsigned kFirstWidth = 640, kFirstHeight = 480;

}  // namespace

Screen::Screen(async::Clock& clock, std::string label)
    : clock_(clock),
      label_(std::move(label)),
      surface_(std::make_unique<Surface>(kFirstWidth, kFirstHeight)),
      timer_(clock.make_timer([this] { run(); })) {}

Screen::~Screen() {
  if (source_ != nullptr) source_->screen_gone();
}

void Screen::set_source(ScreenSource* source) {
  source_ = source;
  wake();
}

Surface& Screen::resize(unsigned width, unsigned height) {
  auto fresh = std::make_unique<Surface>(width, height);
  if (fresh->width() == surface_->width() && fresh->height() == surface_->height()) return *surface_;
  surface_ = std::move(fresh);
  for (Viewer* viewer : std::vector<Viewer*>(viewers_)) viewer->surface_changed(*surface_);
  return *surface_;
}

void Screen::changed(const Rect& area) {
  const Rect inside = area.clipped(surface_->width(), surface_->height());
  if (inside.empty()) return;
  for (Viewer* viewer : std::vector<Viewer*>(viewers_)) viewer->changed(inside);
}

void Screen::set_cursor(std::shared_ptr<const Cursor> cursor) {
  cursor_ = std::move(cursor);
  for (Viewer* viewer : std::vector<Viewer*>(viewers_)) viewer->cursor_changed(cursor_.get());
}

void Screen::wake() {
  if (viewers_.empty() || source_ == nullptr || running_) return;
  schedule(0);
}

void Screen::add(Viewer& viewer) {
  if (std::find(viewers_.begin(), viewers_.end(), &viewer) != viewers_.end()) return;
  viewers_.push_back(&viewer);
  viewer.surface_changed(*surface_);
  if (cursor_ != nullptr) viewer.cursor_changed(cursor_.get());
  wake();
}

void Screen::remove(Viewer& viewer) {
  std::erase(viewers_, &viewer);
  if (viewers_.empty()) timer_->cancel();
}

void Screen::refresh() {
  if (source_ == nullptr || running_) return;
  running_ = true;
  const std::optional<int64_t> wait = source_->refresh();
  running_ = false;
  last_ns_ = clock_.now_ns();
  schedule(wait);
}

void Screen::run() {
  if (!viewers_.empty()) refresh();
}

// Never sooner than the rate allows, and never later than what was already due.
void Screen::schedule(std::optional<int64_t> wait_ns) {
  if (viewers_.empty() || !wait_ns) {
    timer_->cancel();
    return;
  }
  const int64_t now = clock_.now_ns();
  timer_->arm(std::max(last_ns_ + kRefreshNs, now + std::max<int64_t>(*wait_ns, 0)));
}

bool Screen::text(TextPage& page) {
  return source_ != nullptr && source_->text(page);
}

void Screen::want_size(unsigned width, unsigned height) {
  if (source_ != nullptr && width >= kFirstWidth && height >= kFirstHeight)
    source_->size_wanted(width, height);
}

}  // namespace rhea::display
