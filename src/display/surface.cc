#include "display/surface.h"

#include <algorithm>

namespace rhea::display {

Rect Rect::united(const Rect& other) const {
  if (empty()) return other;
  if (other.empty()) return *this;
  const unsigned left = std::min(x, other.x), top = std::min(y, other.y);
  const unsigned right = std::max(x + width, other.x + other.width);
  const unsigned bottom = std::max(y + height, other.y + other.height);
  return {left, top, right - left, bottom - top};
}

Rect Rect::clipped(unsigned surface_width, unsigned surface_height) const {
  if (x >= surface_width || y >= surface_height) return {};
  return {x, y, std::min(width, surface_width - x), std::min(height, surface_height - y)};
}

Surface::Surface(unsigned width, unsigned height)
    : width_(std::clamp(width, 1u, kMaxWidth)),
      height_(std::clamp(height, 1u, kMaxHeight)),
      pixels_(size_t{width_} * height_) {}

void Surface::fill(uint32_t colour) {
  std::fill(pixels_.begin(), pixels_.end(), colour);
}

}  // namespace rhea::display
