// Draws a linear frame buffer in guest memory on a screen: each refresh compares what it shows with what was
// drawn last and converts the pixels that differ.
//
// The guest's processors write meanwhile: what they change after the comparison differs at the next one.
// Caller holds the machine lock.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "display/screen.h"

namespace rhea::devices {

enum class PixelFormat : uint8_t { Palette8, Rgb555, Rgb565, Bgr24, Xrgb32 };
// Of 8, 15, 16, 24 and 32 bits a pixel.
std::optional<PixelFormat> pixel_format(unsigned bits);
unsigned bytes_of(PixelFormat format);

class LinearFrame {
 public:
  struct Layout {
    unsigned width, height;
    PixelFormat format;
    uint64_t stride;  // bytes
    bool operator==(const Layout&) const = default;
  };
  using Palette = std::array<uint32_t, 256>;

  // pixels: stride * (height - 1) plus a row's bytes are readable. palette is for Palette8 and may be null
  // else. Returns whether anything had changed.
  bool draw(display::Screen& screen, const Layout& layout, const uint8_t* pixels, const Palette* palette);
  // The surface has been drawn on by somebody else.
  void forget() { drawn_.reset(); }

 private:
  struct Span {
    unsigned begin, end;  // pixels
  };
  std::optional<Span> difference(const uint8_t* fresh, const uint8_t* old, const Layout& layout) const;

  std::optional<Layout> drawn_;
  const uint8_t* drawn_from_ = nullptr;
  Palette palette_{};
  std::vector<uint8_t> shadow_;  // rows without gaps; unused where the surface itself holds the bytes
};

}  // namespace rhea::devices
