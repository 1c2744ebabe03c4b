#include "display/vnc/encoder.h"

#include <algorithm>

#include "base/check.h"

namespace rhea::display::vnc {

unsigned Palette::find(uint32_t colour) const {
  unsigned at = slot(colour);
  while (slots_[at] >= 0 && colours_[static_cast<size_t>(slots_[at])] != colour) at = (at + 1) % kSlots;
  return at;
}

Palette::Palette(const Pixels& pixels, unsigned most) {
  slots_.fill(-1);
  uint32_t last = ~uint32_t{0};  // no pixel has a top byte
  for (unsigned y = 0; y < pixels.height; ++y) {
    for (const uint32_t colour : pixels.row(y)) {
      if (colour == last) continue;
      last = colour;
      const unsigned at = find(colour);
      if (slots_[at] >= 0) continue;
      if (colours_.size() == std::min(most, 256u)) {
        complete_ = false;
        return;
      }
      slots_[at] = static_cast<int16_t>(colours_.size());
      colours_.push_back(colour);
    }
  }
}

unsigned Palette::index(uint32_t colour) const {
  const int16_t at = slots_[find(colour)];
  return at < 0 ? 0 : static_cast<unsigned>(at);
}

Deflater::~Deflater() {
  if (started_) deflateEnd(&stream_);
}

void Deflater::compress(std::span<const uint8_t> bytes, int level, Output& out) {
  if (!started_) {
    CHECK(deflateInit(&stream_, level) == Z_OK);  // fails for lack of memory only
    started_ = true;
    level_ = level;
  }
  stream_.next_in = const_cast<uint8_t*>(bytes.data());  // SAFETY: zlib does not write through next_in
  stream_.avail_in = static_cast<uInt>(bytes.size());
  constexpr size_t kStep = 16 << 10;
  const auto grow = [&] {
    stream_.next_out = out.extend(kStep);
    stream_.avail_out = kStep;
  };
  const auto shrink = [&] { out.truncate(out.size() - stream_.avail_out); };
  if (level != level_) {
    grow();
    while (deflateParams(&stream_, level, Z_DEFAULT_STRATEGY) == Z_BUF_ERROR && stream_.avail_out == 0)
      grow();
    shrink();
    level_ = level;
  }
  do {
    grow();
    deflate(&stream_, Z_SYNC_FLUSH);
    shrink();
  } while (stream_.avail_out == 0);
}

unsigned Encoder::encode(const Settings& settings, const Rect& where, const Pixels& pixels, Output& out) {
  if (settings.encoding == kTight) return tight(settings, where, pixels, out);
  out.rect(where.x, where.y, where.width, where.height, settings.encoding);
  switch (settings.encoding) {
    case kHextile: hextile(settings.format, pixels, out); break;
    case kZlib: zlib(settings, pixels, out); break;
    case kZrle: zrle(settings, pixels, out); break;
    default: raw(settings.format, pixels, out); break;
  }
  return 1;
}

void Encoder::raw(const PixelFormat& format, const Pixels& pixels, Output& out) {
  for (unsigned y = 0; y < pixels.height; ++y) format.convert(pixels.row(y), out);
}

void Encoder::zlib(const Settings& settings, const Pixels& pixels, Output& out) {
  scratch_.clear();
  raw(settings.format, pixels, scratch_);
  const size_t length_at = out.size();
  out.u32(0);
  zlib_.compress(scratch_.view(), settings.level, out);
  store_be<uint32_t>(out.at(length_at), static_cast<uint32_t>(out.size() - length_at - 4));
}

}  // namespace rhea::display::vnc
