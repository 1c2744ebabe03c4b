#include "display/vnc/pixel_format.h"

#include <bit>

#include "display/vnc/rfb.h"

namespace rhea::display::vnc {

PixelFormat::PixelFormat() {
  build();
}

bool PixelFormat::sensible() const {
  if (bits_ != 8 && bits_ != 16 && bits_ != 32) return false;
  for (const Channel& channel : {red_, green_, blue_}) {
    if (channel.max == 0 || !std::has_single_bit(channel.max + 1u)) return false;
    if (channel.shift + static_cast<unsigned>(std::bit_width(channel.max)) > bits_) return false;
  }
  return true;
}

std::optional<PixelFormat> PixelFormat::parse(const uint8_t* wire) {
  PixelFormat format;
  format.bits_ = wire[0];
  format.depth_ = wire[1];
  format.big_endian_ = wire[2] != 0;
  format.red_ = {load_be<uint16_t>(wire + 4), wire[10]};
  format.green_ = {load_be<uint16_t>(wire + 6), wire[11]};
  format.blue_ = {load_be<uint16_t>(wire + 8), wire[12]};
  if (wire[3] == 0) {
    format.map_ = true;
    format.bits_ = format.depth_ = 8;
    format.red_ = {7, 0};
    format.green_ = {7, 3};
    format.blue_ = {3, 6};
  }
  if (!format.sensible()) return std::nullopt;
  format.build();
  return format;
}

void PixelFormat::build() {
  const auto fill = [this](std::array<uint32_t, 256>& table, const Channel& channel) {
    for (uint32_t value = 0; value < 256; ++value) {
      uint32_t out = (value * channel.max + 127) / 255 << channel.shift;
      if (big_endian_) out = std::byteswap(out) >> (32 - bits_);
      table[value] = out;
    }
  };
  fill(red_table_, red_);
  fill(green_table_, green_);
  fill(blue_table_, blue_);
  const uint32_t used = uint32_t{red_.max} << red_.shift | uint32_t{green_.max} << green_.shift |
                        uint32_t{blue_.max} << blue_.shift;
  const bool low = used <= 0xffffff, high = (used & 0xff) == 0;
  compact_ = bits_ == 32 && depth_ <= 24 && (low || high);
  compact_skip_ = low == big_endian_ ? 1 : 0;
}

void PixelFormat::write(Output& out) const {
  for (const unsigned value : {unsigned{bits_}, unsigned{depth_}, big_endian_ ? 1u : 0u, map_ ? 0u : 1u})
    out.u8(value);
  for (const unsigned value : {red_.max, green_.max, blue_.max}) out.u16(value);
  for (const unsigned value : {red_.shift, green_.shift, blue_.shift}) out.u8(value);
  out.zeros(3);
}

void PixelFormat::write_map(Output& out) const {
  out.u8(kSetColourMapEntries);
  out.u8(0);
  out.u16(0);
  out.u16(256);
  for (unsigned i = 0; i < 256; ++i) {
    for (const Channel& channel : {red_, green_, blue_}) {
      out.u16((i >> channel.shift & channel.max) * 65535u / channel.max);
    }
  }
}

void PixelFormat::convert(std::span<const uint32_t> pixels, Output& out) const {
  const unsigned size = bytes();
  uint8_t* to = out.extend(pixels.size() * size);
  for (const uint32_t pixel : pixels) {
    const uint32_t value = wire(pixel);
    for (unsigned i = 0; i < size; ++i) *to++ = static_cast<uint8_t>(value >> 8 * i);
  }
}

void PixelFormat::tight_pixels(std::span<const uint32_t> pixels, Output& out) const {
  if (!tight_packs()) return convert(pixels, out);
  uint8_t* to = out.extend(pixels.size() * 3);
  for (const uint32_t pixel : pixels) {
    *to++ = static_cast<uint8_t>(pixel >> 16);
    *to++ = static_cast<uint8_t>(pixel >> 8);
    *to++ = static_cast<uint8_t>(pixel);
  }
}

void PixelFormat::compact_pixels(std::span<const uint32_t> pixels, Output& out) const {
  if (!compact_) return convert(pixels, out);
  uint8_t* to = out.extend(pixels.size() * 3);
  for (const uint32_t pixel : pixels) {
    const uint32_t value = wire(pixel) >> 8 * compact_skip_;
    for (unsigned i = 0; i < 3; ++i) *to++ = static_cast<uint8_t>(value >> 8 * i);
  }
}

}  // namespace rhea::display::vnc
