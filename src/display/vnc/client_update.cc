// Pictures for a viewer: what has changed, copied and encoded by a worker. RFC 6143 7.6.1, 7.8; rfbproto:
// ExtendedDesktopSize, CursorWithAlpha, QEMU's pseudo encodings.

#include <algorithm>
#include <utility>

#include "display/vnc/client.h"
#include "display/vnc/server.h"

namespace rhea::display::vnc {

namespace {

// More rectangles than this cost more than what lies between them.
constexpr size_t kMaxRects = 512;

}  // namespace

struct Client::Job {
  std::shared_ptr<Encoder> encoder;
  Encoder::Settings settings;
  std::vector<Rect> rects;
  std::vector<uint32_t> pixels;  // of one rectangle after the other
  Output news;
  unsigned news_count = 0;
  Output out;

  // On a worker, without the machine lock.
  void run() {
    out.u8(kFramebufferUpdate);
    out.u8(0);
    out.u16(0);
    out.bytes(news.view());
    unsigned count = news_count;
    size_t at = 0;
    for (const Rect& rect : rects) {
      const Pixels part{pixels.data() + at, rect.width, rect.width, rect.height};
      count += encoder->encode(settings, rect, part, out);
      at += size_t{rect.width} * rect.height;
    }
    store_be<uint16_t>(out.at(2), static_cast<uint16_t>(count));
  }
};

void Client::surface_changed() {
  const Surface& surface = server_.screen().surface();
  if (resizable() && (width_ != surface.width() || height_ != surface.height())) {
    width_ = surface.width();
    height_ = surface.height();
    news_.size = true;
    last_place_.reset();
  }
  dirty_.resize(width_, height_);
  dirty_.add_all();
}

void Client::write_size(Output& out, uint16_t reason, uint16_t status) const {
  if (!has(kHasExtendedSize)) {
    out.rect(0, 0, width_, height_, kDesktopSize);
    return;
  }
  out.rect(reason, status, width_, height_, kExtendedDesktopSize);
  out.u8(1);  // screens
  out.zeros(3);
  out.u32(0);  // its id
  for (const unsigned value : {0u, 0u, width_, height_}) out.u16(value);
  out.u32(0);  // flags
}

// The shape of the guest's hardware pointer; one without pixels where it has none, so that the viewer shows
// the one that the guest draws.
bool Client::write_cursor(Output& out) const {
  if (!has(kHasCursor) && !has(kHasAlphaCursor)) return false;
  const Cursor* cursor = server_.screen().cursor().get();
  if (cursor == nullptr) return false;
  const std::span<const uint32_t> pixels(cursor->argb);
  const unsigned width = cursor->width, height = cursor->height;
  if (width > 0xffff || height > 0xffff || pixels.size() != size_t{width} * height) return false;
  if (has(kHasAlphaCursor)) {
    out.rect(cursor->hot_x, cursor->hot_y, width, height, kCursorWithAlpha);
    out.u32(static_cast<uint32_t>(kRaw));
    for (const uint32_t pixel : pixels) {  // premultiplied R, G, B, A
      const uint32_t alpha = pixel >> 24;
      for (const unsigned shift : {16u, 8u, 0u}) out.u8((pixel >> shift & 0xff) * alpha / 255);
      out.u8(alpha);
    }
    return true;
  }
  out.rect(cursor->hot_x, cursor->hot_y, width, height, kCursor);
  settings_.format.convert(pixels, out);
  for (unsigned y = 0; y < height; ++y) {
    for (unsigned x = 0; x < width; x += 8) {
      unsigned byte = 0;
      for (unsigned i = 0; i < 8; ++i) {
        const bool shown = x + i < width && pixels[size_t{y} * width + x + i] >> 31 != 0;
        byte = byte << 1 | (shown ? 1u : 0u);
      }
      out.u8(byte);
    }
  }
  return true;
}

// What has to be told, as rectangles of pseudo encodings; returns how many.
unsigned Client::write_news(Output& out) {
  const News news = std::exchange(news_, {});
  unsigned count = 0;
  if (news.resize_answer && has(kHasExtendedSize)) {
    write_size(out, kResizedByThisClient, news.resize_status);
    ++count;
  }
  if (news.size && resizable()) {
    write_size(out, kResizedByServer, kResizeDone);
    ++count;
  }
  if (news.extended_keys && has(kHasExtendedKeys)) {
    out.rect(0, 0, width_, height_, kExtendedKeyEvent);
    ++count;
  }
  if (news.pointer_kind && has(kHasPointerChange)) {
    out.rect(server_.input().wants_places() ? 1 : 0, 0, width_, height_, kPointerMotionChange);
    ++count;
  }
  if (news.indicators && has(kHasIndicators)) {
    out.rect(0, 0, 1, 1, kQemuLedState);
    out.u8(server_.input().indicators());
    ++count;
  }
  if (news.sound && has(kHasSound)) {
    out.rect(0, 0, width_, height_, kQemuAudioEncoding);
    ++count;
  }
  if (news.cursor && write_cursor(out)) ++count;
  return count;
}

// From the server's copy of the screen; black beyond its edges.
void Client::copy_pixels(Job& job) const {
  size_t total = 0;
  for (const Rect& rect : job.rects) total += size_t{rect.width} * rect.height;
  job.pixels.resize(total);
  const Surface& shown = server_.shown();
  size_t at = 0;
  for (const Rect& rect : job.rects) {
    const Rect inside = rect.clipped(shown.width(), shown.height());
    for (unsigned y = 0; y < inside.height; ++y) {
      const auto row = shown.row(inside.y + y).subspan(inside.x, inside.width);
      std::ranges::copy(row, job.pixels.begin() + static_cast<ptrdiff_t>(at + size_t{y} * rect.width));
    }
    at += size_t{rect.width} * rect.height;
  }
}

void Client::update() {
  if (phase_ != Phase::Ready || !requested_ || busy_ || connection_->queued() != 0) return;
  auto job = std::make_shared<Job>();
  job->news_count = write_news(job->news);
  job->rects = dirty_.take(*requested_);
  if (job->news_count == 0 && job->rects.empty()) return;
  if (job->rects.size() > kMaxRects) {
    Rect all = job->rects.front();
    for (const Rect& rect : job->rects) all = all.united(rect);
    job->rects.assign(1, all);
  }
  requested_.reset();
  busy_ = true;
  job->encoder = encoder_;
  job->settings = settings_;
  copy_pixels(*job);
  async::EventLoop& loop = server_.loop();
  server_.workers().submit([job, &loop, self = weak_from_this()] {
    job->run();
    loop.post([job, self] {
      if (const auto client = self.lock()) client->job_done(*job);
    });
  });
}

void Client::job_done(Job& job) {
  busy_ = false;
  if (phase_ != Phase::Ready) return;
  connection_->send(job.out.view(), Connection::Kind::Picture);
  update();
}

}  // namespace rhea::display::vnc
