// What a screen shows: a rectangle of pixels, 0xXXRRGGBB in host byte order. The top byte may hold anything.
//
// Written by devices and read by viewers, all with the machine lock held.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace rhea::display {

struct Rect {
  unsigned x = 0, y = 0, width = 0, height = 0;
  bool empty() const { return width == 0 || height == 0; }
  bool operator==(const Rect&) const = default;
  // The smallest rectangle that holds both.
  Rect united(const Rect& other) const;
  // The part inside a surface of this size.
  Rect clipped(unsigned surface_width, unsigned surface_height) const;
};

class Surface {
 public:
  // Larger ones are never made, whatever a guest asks for.
  static constexpr unsigned kMaxWidth = 16384, kMaxHeight = 16384;

  // Black. Sizes above the maximum are cut to it; 0 becomes 1.
  Surface(unsigned width, unsigned height);

  unsigned width() const { return width_; }
  unsigned height() const { return height_; }
  unsigned stride() const { return width_; }  // pixels from a row to the next
  std::span<uint32_t> row(unsigned y) { return {pixels_.data() + size_t{y} * width_, width_}; }
  std::span<const uint32_t> row(unsigned y) const { return {pixels_.data() + size_t{y} * width_, width_}; }
  const uint32_t* pixels() const { return pixels_.data(); }
  uint32_t* pixels() { return pixels_.data(); }
  void fill(uint32_t colour);

 private:
  unsigned width_, height_;
  std::vector<uint32_t> pixels_;
};

}  // namespace rhea::display
