// Which parts of a picture have changed, in tiles of 16 x 16 pixels.
#pragma once

#include <vector>

#include "display/surface.h"

namespace rhea::display::vnc {

class DirtyTiles {
 public:
  static constexpr unsigned kTile = 16;

  // Nothing is dirty afterwards.
  void resize(unsigned width, unsigned height);
  void add(const Rect& area);
  void add_all() { add({0, 0, width_, height_}); }
  bool any() const { return count_ != 0; }
  void clear();

  // Calls visit(Rect) for each dirty tile, cut at the picture's edge; those for which it returns true stay
  // dirty.
  template <class Visit>
  void filter(Visit visit) {
    for (unsigned row = 0; row < rows_ && count_ != 0; ++row) {
      for (unsigned column = 0; column < columns_; ++column) {
        if (get(column, row) && !visit(tile(column, row))) set(column, row, false);
      }
    }
  }
  // What is dirty inside `area` as a few rectangles, which are clean afterwards.
  std::vector<Rect> take(const Rect& area);

 private:
  Rect tile(unsigned column, unsigned row) const {
    return Rect{column * kTile, row * kTile, kTile, kTile}.clipped(width_, height_);
  }
  bool get(unsigned column, unsigned row) const { return bits_[size_t{row} * columns_ + column]; }
  void set(unsigned column, unsigned row, bool on);

  unsigned width_ = 0, height_ = 0, columns_ = 0, rows_ = 0;
  size_t count_ = 0;
  std::vector<bool> bits_;
};

}  // namespace rhea::display::vnc
