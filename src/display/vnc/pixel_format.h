// How a client wants its pixels. RFC 6143 7.4: a format is chosen by the client and therefore checked.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>

#include "display/vnc/wire.h"

namespace rhea::display::vnc {

class PixelFormat {
 public:
  static constexpr size_t kWireSize = 16;

  // 32 bits, 8 each, as surfaces are.
  PixelFormat();
  // Nothing if the format makes no sense. A colour map becomes 8 bits with fixed colours (uses_map()).
  static std::optional<PixelFormat> parse(const uint8_t* wire);
  void write(Output& out) const;
  // SetColourMapEntries for the fixed colours.
  void write_map(Output& out) const;
  bool uses_map() const { return map_; }

  unsigned bytes() const { return bits_ / 8; }
  // Pixels of 0xXXRRGGBB to the wire: appends bytes() a pixel.
  void convert(std::span<const uint32_t> pixels, Output& out) const;
  void pixel(uint32_t pixel, Output& out) const { convert({&pixel, 1}, out); }

  // Tight's TPIXEL is three bytes R, G, B where colours have 8 bits each; ZRLE's CPIXEL leaves out the byte
  // that no colour uses.
  bool tight_packs() const { return bits_ == 32 && depth_ == 24 && all_255(); }
  void tight_pixels(std::span<const uint32_t> pixels, Output& out) const;
  unsigned compact_bytes() const { return compact_ ? 3 : bytes(); }
  void compact_pixels(std::span<const uint32_t> pixels, Output& out) const;

 private:
  struct Channel {
    uint16_t max;
    uint8_t shift;
  };
  bool all_255() const { return red_.max == 255 && green_.max == 255 && blue_.max == 255; }
  bool sensible() const;
  void build();
  // The bytes of a pixel in their order on the wire, in the low bytes.
  uint32_t wire(uint32_t pixel) const {
    return red_table_[pixel >> 16 & 0xff] | green_table_[pixel >> 8 & 0xff] | blue_table_[pixel & 0xff];
  }

  uint8_t bits_ = 32, depth_ = 24;
  bool big_endian_ = false, map_ = false;
  Channel red_{255, 16}, green_{255, 8}, blue_{255, 0};
  bool compact_ = false;
  unsigned compact_skip_ = 0;  // bytes of the wire form before the three that count
  std::array<uint32_t, 256> red_table_{}, green_table_{}, blue_table_{};
};

}  // namespace rhea::display::vnc
