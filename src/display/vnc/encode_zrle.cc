// ZRLE: tiles of 64 x 64, each one colour, a packed palette, runs or raw, all through one zlib stream.
// RFC 6143 7.7.6.

#include <algorithm>

#include "display/vnc/encoder.h"

namespace rhea::display::vnc {

namespace {

constexpr unsigned kTile = 64;
constexpr unsigned kRawTile = 0, kSolid = 1, kPlainRuns = 128, kPaletteRuns = 128;
constexpr unsigned kMaxPacked = 16, kMaxPalette = 127;

struct Runs {
  unsigned count = 0, single = 0;
};

// Calls run(colour, length) for each run; runs go on from row to row.
template <class Visit>
void each_run(const Pixels& tile, Visit visit) {
  uint32_t colour = tile.row(0)[0];
  unsigned length = 0;
  for (unsigned y = 0; y < tile.height; ++y) {
    for (const uint32_t pixel : tile.row(y)) {
      if (pixel == colour) {
        ++length;
        continue;
      }
      visit(colour, length);
      colour = pixel;
      length = 1;
    }
  }
  visit(colour, length);
}

void run_length(unsigned length, Output& out) {
  for (--length; length >= 255; length -= 255) out.u8(255);
  out.u8(length);
}

void packed(const Pixels& tile, const Palette& palette, unsigned bits, Output& out) {
  for (unsigned y = 0; y < tile.height; ++y) {
    unsigned byte = 0, filled = 0;
    for (const uint32_t colour : tile.row(y)) {
      byte = byte << bits | palette.index(colour);
      filled += bits;
      if (filled < 8) continue;
      out.u8(byte);
      byte = filled = 0;
    }
    if (filled != 0) out.u8(byte << (8 - filled));
  }
}

void palette_runs(const Pixels& tile, const Palette& palette, Output& out) {
  each_run(tile, [&](uint32_t colour, unsigned length) {
    const unsigned index = palette.index(colour);
    out.u8(length == 1 ? index : index | 0x80);
    if (length > 1) run_length(length, out);
  });
}

// The cheapest of the ways, by size before compression.
void encode_tile(const PixelFormat& format, const Pixels& tile, Output& out) {
  const Palette palette(tile, kMaxPalette);
  const unsigned colours = palette.size(), pixel = format.compact_bytes();
  if (palette.complete() && colours == 1) {
    out.u8(kSolid);
    return format.compact_pixels(palette.colours(), out);
  }
  Runs runs;
  each_run(tile, [&](uint32_t, unsigned length) {
    ++runs.count;
    if (length == 1) ++runs.single;
  });
  const size_t raw = size_t{tile.width} * tile.height * pixel;
  const size_t plain = size_t{runs.count} * (pixel + 1);
  const bool fits = palette.complete();
  const size_t by_palette = fits ? size_t{colours} * pixel + 2 * runs.count - runs.single : SIZE_MAX;
  const unsigned bits = colours <= 2 ? 1 : colours <= 4 ? 2 : 4;
  const size_t by_bits = fits && colours <= kMaxPacked
                             ? size_t{colours} * pixel + size_t{(tile.width * bits + 7) / 8} * tile.height
                             : SIZE_MAX;
  const size_t best = std::min({raw, plain, by_palette, by_bits});
  if (best == by_bits) {
    out.u8(colours);
    format.compact_pixels(palette.colours(), out);
    packed(tile, palette, bits, out);
  } else if (best == by_palette) {
    out.u8(kPaletteRuns | colours);
    format.compact_pixels(palette.colours(), out);
    palette_runs(tile, palette, out);
  } else if (best == plain) {
    out.u8(kPlainRuns);
    each_run(tile, [&](uint32_t colour, unsigned length) {
      format.compact_pixels({&colour, 1}, out);
      run_length(length, out);
    });
  } else {
    out.u8(kRawTile);
    for (unsigned y = 0; y < tile.height; ++y) format.compact_pixels(tile.row(y), out);
  }
}

}  // namespace

void Encoder::zrle(const Settings& settings, const Pixels& pixels, Output& out) {
  scratch_.clear();
  for (unsigned y = 0; y < pixels.height; y += kTile) {
    for (unsigned x = 0; x < pixels.width; x += kTile) {
      encode_tile(settings.format,
                  pixels.part(x, y, std::min(kTile, pixels.width - x), std::min(kTile, pixels.height - y)),
                  scratch_);
    }
  }
  const size_t length_at = out.size();
  out.u32(0);
  zrle_.compress(scratch_.view(), settings.level, out);
  store_be<uint32_t>(out.at(length_at), static_cast<uint32_t>(out.size() - length_at - 4));
}

}  // namespace rhea::display::vnc
