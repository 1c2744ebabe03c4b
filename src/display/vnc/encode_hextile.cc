// Hextile: tiles of 16 x 16, each a background with rectangles on it, or raw. RFC 6143 7.7.4.

#include <algorithm>
#include <array>
#include <optional>

#include "display/vnc/encoder.h"

namespace rhea::display::vnc {

namespace {

enum Flag : uint8_t { kRawTile = 1, kBackground = 2, kForeground = 4, kSubrects = 8, kColoured = 16 };

constexpr unsigned kTile = 16;

struct Subrect {
  uint32_t colour;
  uint8_t x, y, width, height;
};

// The rectangles of one tile that are not background, larger ones first grown to the right, then down.
std::vector<Subrect> subrects(const Pixels& tile, uint32_t background) {
  std::vector<Subrect> found;
  std::array<uint16_t, kTile> done{};  // a bit a pixel, by row
  for (unsigned y = 0; y < tile.height; ++y) {
    const auto row = tile.row(y);
    for (unsigned x = 0; x < tile.width; ++x) {
      const uint32_t colour = row[x];
      if (colour == background || (done[y] >> x & 1) != 0) continue;
      unsigned end = x + 1;
      while (end < tile.width && row[end] == colour && (done[y] >> end & 1) == 0) ++end;
      unsigned bottom = y + 1;
      const auto same = [&](unsigned at) {
        const auto other = tile.row(at).subspan(x, end - x);
        return std::ranges::all_of(other, [&](uint32_t pixel) { return pixel == colour; });
      };
      while (bottom < tile.height && same(bottom)) ++bottom;
      const auto mask = static_cast<uint16_t>(((1u << (end - x)) - 1) << x);
      for (unsigned at = y; at < bottom; ++at) done[at] = static_cast<uint16_t>(done[at] | mask);
      found.push_back({colour, static_cast<uint8_t>(x), static_cast<uint8_t>(y),
                       static_cast<uint8_t>(end - x), static_cast<uint8_t>(bottom - y)});
    }
  }
  return found;
}

// The colour that most pixels of the tile have, as far as a look at the palette tells.
uint32_t most_common(const Pixels& tile, const Palette& palette) {
  std::array<unsigned, 256> counts{};
  for (unsigned y = 0; y < tile.height; ++y) {
    for (const uint32_t colour : tile.row(y)) ++counts[palette.index(colour)];
  }
  const auto best = std::ranges::max_element(counts) - counts.begin();
  return palette.colours()[static_cast<size_t>(best)];
}

// What the client remembers from tile to tile.
struct Colours {
  std::optional<uint32_t> background, foreground;
};

void encode_tile(const PixelFormat& format, const Pixels& tile, Colours& known, Output& out) {
  const size_t start = out.size();
  const size_t raw_size = size_t{tile.width} * tile.height * format.bytes();
  const Palette palette(tile, 64);
  if (palette.complete()) {
    const uint32_t background = most_common(tile, palette);
    const auto rects = subrects(tile, background);
    const bool coloured = palette.size() > 2;
    unsigned flags = 0;
    if (known.background != background) flags |= kBackground;
    if (!rects.empty()) flags |= kSubrects;
    if (!rects.empty() && coloured) flags |= kColoured;
    if (!rects.empty() && !coloured && known.foreground != rects[0].colour) flags |= kForeground;
    const size_t each = 2 + (coloured ? format.bytes() : 0);
    if (rects.size() <= 255 && rects.size() * each + 2 + size_t{2} * format.bytes() < raw_size + 1) {
      out.u8(flags);
      if ((flags & kBackground) != 0) format.pixel(background, out);
      if ((flags & kForeground) != 0) format.pixel(rects[0].colour, out);
      if (!rects.empty()) out.u8(rects.size());
      for (const Subrect& rect : rects) {
        if (coloured) format.pixel(rect.colour, out);
        out.u8(rect.x << 4 | rect.y);
        out.u8((rect.width - 1) << 4 | (rect.height - 1));
      }
      known.background = background;
      if ((flags & kForeground) != 0) known.foreground = rects[0].colour;
      if (coloured) known.foreground.reset();
      return;
    }
  }
  out.truncate(start);
  out.u8(kRawTile);
  for (unsigned y = 0; y < tile.height; ++y) format.convert(tile.row(y), out);
  known = {};
}

}  // namespace

void Encoder::hextile(const PixelFormat& format, const Pixels& pixels, Output& out) {
  Colours known;
  for (unsigned y = 0; y < pixels.height; y += kTile) {
    for (unsigned x = 0; x < pixels.width; x += kTile) {
      encode_tile(format,
                  pixels.part(x, y, std::min(kTile, pixels.width - x), std::min(kTile, pixels.height - y)),
                  known, out);
    }
  }
}

}  // namespace rhea::display::vnc
