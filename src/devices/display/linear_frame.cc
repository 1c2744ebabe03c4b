#include "devices/display/linear_frame.h"

#include <cstring>

#include "devices/display/row_changes.h"

namespace rhea::devices {

namespace {

uint32_t from_555(uint32_t p) {
  const uint32_t r = p >> 10 & 31, g = p >> 5 & 31, b = p & 31;
  return (r << 3 | r >> 2) << 16 | (g << 3 | g >> 2) << 8 | (b << 3 | b >> 2);
}

uint32_t from_565(uint32_t p) {
  const uint32_t r = p >> 11 & 31, g = p >> 5 & 63, b = p & 31;
  return (r << 3 | r >> 2) << 16 | (g << 2 | g >> 4) << 8 | (b << 3 | b >> 2);
}

uint32_t load16(const uint8_t* at) {
  return static_cast<uint32_t>(at[0] | at[1] << 8);
}

void convert(PixelFormat format, const uint8_t* from, uint32_t* to, size_t count,
             const LinearFrame::Palette& palette) {
  switch (format) {
    case PixelFormat::Palette8:
      for (size_t i = 0; i < count; ++i) to[i] = palette[from[i]];
      break;
    case PixelFormat::Rgb555:
      for (size_t i = 0; i < count; ++i) to[i] = from_555(load16(from + 2 * i));
      break;
    case PixelFormat::Rgb565:
      for (size_t i = 0; i < count; ++i) to[i] = from_565(load16(from + 2 * i));
      break;
    case PixelFormat::Bgr24:
      for (size_t i = 0; i < count; ++i)
        to[i] = load16(from + 3 * i) | static_cast<uint32_t>(from[3 * i + 2]) << 16;
      break;
    case PixelFormat::Xrgb32: std::memcpy(to, from, count * 4); break;
  }
}

// The first byte that differs, or size.
size_t mismatch(const uint8_t* a, const uint8_t* b, size_t size) {
  constexpr size_t kStep = 256;
  size_t at = 0;
  while (size - at >= kStep && std::memcmp(a + at, b + at, kStep) == 0) at += kStep;
  while (at < size && a[at] == b[at]) ++at;
  return at;
}

// One past the last byte that differs; some byte does.
size_t mismatch_end(const uint8_t* a, const uint8_t* b, size_t size) {
  constexpr size_t kStep = 256;
  while (size >= kStep && std::memcmp(a + size - kStep, b + size - kStep, kStep) == 0) size -= kStep;
  while (size > 0 && a[size - 1] == b[size - 1]) --size;
  return size;
}

}  // namespace

std::optional<PixelFormat> pixel_format(unsigned bits) {
  switch (bits) {
    case 8: return PixelFormat::Palette8;
    case 15: return PixelFormat::Rgb555;
    case 16: return PixelFormat::Rgb565;
    case 24: return PixelFormat::Bgr24;
    case 32: return PixelFormat::Xrgb32;
    default: return std::nullopt;
  }
}

unsigned bytes_of(PixelFormat format) {
  switch (format) {
    case PixelFormat::Palette8: return 1;
    case PixelFormat::Rgb555:
    case PixelFormat::Rgb565: return 2;
    case PixelFormat::Bgr24: return 3;
    default: return 4;
  }
}

std::optional<LinearFrame::Span> LinearFrame::difference(const uint8_t* fresh, const uint8_t* old,
                                                         const Layout& layout) const {
  const unsigned bytes = bytes_of(layout.format);
  const size_t size = size_t{layout.width} * bytes;
  if (std::memcmp(fresh, old, size) == 0) return std::nullopt;
  const size_t begin = mismatch(fresh, old, size);
  if (begin == size) return std::nullopt;  // it was changed back meanwhile
  const size_t end = std::max(mismatch_end(fresh, old, size), begin + 1);
  return Span{static_cast<unsigned>(begin / bytes), static_cast<unsigned>((end + bytes - 1) / bytes)};
}

bool LinearFrame::draw(display::Screen& screen, const Layout& layout, const uint8_t* pixels,
                       const Palette* palette) {
  display::Surface& surface = screen.resize(layout.width, layout.height);
  const unsigned width = std::min(surface.width(), layout.width);
  const unsigned height = std::min(surface.height(), layout.height);
  const unsigned bytes = bytes_of(layout.format);
  const size_t row_bytes = size_t{width} * bytes;
  const bool direct = layout.format == PixelFormat::Xrgb32;
  bool all = drawn_ != layout || drawn_from_ != pixels;
  if (palette != nullptr && layout.format == PixelFormat::Palette8 && palette_ != *palette) {
    palette_ = *palette;
    all = true;
  }
  if (all) shadow_.resize(direct ? 0 : row_bytes * height);
  drawn_ = layout;
  drawn_from_ = pixels;
  bool any = false;
  Layout clipped = layout;
  clipped.width = width;
  RowChanges changes(screen);
  for (unsigned y = 0; y < height; ++y) {
    const uint8_t* fresh = pixels + layout.stride * y;
    uint32_t* to = surface.row(y).data();
    // SAFETY: a pixel of this format is what the surface holds.
    uint8_t* old = direct ? reinterpret_cast<uint8_t*>(to) : shadow_.data() + row_bytes * y;
    std::optional<Span> span = all ? Span{0, width} : difference(fresh, old, clipped);
    if (!span) continue;
    any = true;
    const size_t first = size_t{span->begin} * bytes;
    std::memcpy(old + first, fresh + first, size_t{span->end - span->begin} * bytes);
    if (!direct) convert(layout.format, old + first, to + span->begin, span->end - span->begin, palette_);
    changes.add(y, 1, span->begin, span->end);
  }
  return any;
}

}  // namespace rhea::devices
