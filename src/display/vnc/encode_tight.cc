// Tight: one colour, two colours as a bitmap, a palette, or full colour, each through its own zlib stream.
// rfbproto, "Tight Encoding". Not used: the gradient filter and JPEG.

#include <algorithm>

#include "display/vnc/encoder.h"

namespace rhea::display::vnc {

namespace {

enum Control : uint8_t { kFill = 0x80, kExplicitFilter = 0x40 };
enum Filter : uint8_t { kPaletteFilter = 1 };
enum Stream : unsigned { kFullColour = 0, kTwoColours = 1, kIndexed = 2 };

// A rectangle may be 2048 wide at the most; the area keeps buffers of clients small.
constexpr unsigned kMaxWidth = 2048, kMaxArea = 1 << 16;
// Less than this is sent as it is.
constexpr size_t kWorthCompressing = 12;
// With fewer pixels for each colour a palette does not pay.
constexpr unsigned kPixelsPerColour = 8;

void compact_length(size_t length, Output& out) {
  out.u8((length & 0x7f) | (length > 0x7f ? 0x80 : 0));
  if (length > 0x7f) out.u8((length >> 7 & 0x7f) | (length > 0x3fff ? 0x80 : 0));
  if (length > 0x3fff) out.u8(length >> 14);
}

void bitmap(const Pixels& pixels, const Palette& palette, Output& out) {
  const uint32_t one = palette.colours()[1];
  for (unsigned y = 0; y < pixels.height; ++y) {
    const auto row = pixels.row(y);
    for (unsigned x = 0; x < pixels.width; x += 8) {
      unsigned byte = 0;
      for (unsigned i = 0; i < 8; ++i)
        byte = byte << 1 | (x + i < pixels.width && row[x + i] == one ? 1u : 0u);
      out.u8(byte);
    }
  }
}

}  // namespace

void Encoder::tight_data(unsigned stream, int level, Output& out) {
  if (scratch_.size() < kWorthCompressing) {
    out.bytes(scratch_.view());
    return;
  }
  Output compressed;
  tight_[stream].compress(scratch_.view(), level, compressed);
  compact_length(compressed.size(), out);
  out.bytes(compressed.view());
}

void Encoder::tight_rect(const Settings& settings, const Pixels& pixels, Output& out) {
  const unsigned area = pixels.width * pixels.height;
  const Palette palette(pixels, std::clamp(area / kPixelsPerColour, 2u, 256u));
  scratch_.clear();
  if (palette.complete() && palette.size() == 1) {
    out.u8(kFill);
    settings.format.tight_pixels(palette.colours(), out);
    return;
  }
  if (!palette.complete()) {
    out.u8(kFullColour << 4);
    for (unsigned y = 0; y < pixels.height; ++y) settings.format.tight_pixels(pixels.row(y), scratch_);
    return tight_data(kFullColour, settings.level, out);
  }
  const unsigned stream = palette.size() == 2 ? kTwoColours : kIndexed;
  out.u8(stream << 4 | kExplicitFilter);
  out.u8(kPaletteFilter);
  out.u8(palette.size() - 1);
  settings.format.tight_pixels(palette.colours(), out);
  if (stream == kTwoColours) {
    bitmap(pixels, palette, scratch_);
  } else {
    for (unsigned y = 0; y < pixels.height; ++y) {
      for (const uint32_t colour : pixels.row(y)) scratch_.u8(palette.index(colour));
    }
  }
  tight_data(stream, settings.level, out);
}

unsigned Encoder::tight(const Settings& settings, const Rect& where, const Pixels& pixels, Output& out) {
  unsigned count = 0;
  const unsigned width = std::min(pixels.width, kMaxWidth);
  const unsigned height = std::max(1u, kMaxArea / width);
  for (unsigned y = 0; y < pixels.height; y += height) {
    for (unsigned x = 0; x < pixels.width; x += width) {
      const unsigned w = std::min(width, pixels.width - x), h = std::min(height, pixels.height - y);
      out.rect(where.x + x, where.y + y, w, h, kTight);
      tight_rect(settings, pixels.part(x, y, w, h), out);
      ++count;
    }
  }
  return count;
}

}  // namespace rhea::display::vnc
