#include "display/vnc/dirty_tiles.h"

#include <algorithm>

namespace rhea::display::vnc {

void DirtyTiles::resize(unsigned width, unsigned height) {
  width_ = width;
  height_ = height;
  columns_ = (width + kTile - 1) / kTile;
  rows_ = (height + kTile - 1) / kTile;
  bits_.assign(size_t{columns_} * rows_, false);
  count_ = 0;
}

void DirtyTiles::clear() {
  bits_.assign(bits_.size(), false);
  count_ = 0;
}

void DirtyTiles::set(unsigned column, unsigned row, bool on) {
  const size_t index = size_t{row} * columns_ + column;
  if (bits_[index] == on) return;
  bits_[index] = on;
  on ? ++count_ : --count_;
}

void DirtyTiles::add(const Rect& area) {
  const Rect inside = area.clipped(width_, height_);
  if (inside.empty()) return;
  const unsigned last_column = (inside.x + inside.width - 1) / kTile;
  const unsigned last_row = (inside.y + inside.height - 1) / kTile;
  for (unsigned row = inside.y / kTile; row <= last_row; ++row) {
    for (unsigned column = inside.x / kTile; column <= last_column; ++column) set(column, row, true);
  }
}

// Runs of tiles in a row, joined with the same run in the row above.
std::vector<Rect> DirtyTiles::take(const Rect& area) {
  std::vector<Rect> found;
  const Rect inside = area.clipped(width_, height_);
  if (inside.empty() || count_ == 0) return found;
  const unsigned first_column = inside.x / kTile, end_column = (inside.x + inside.width - 1) / kTile + 1;
  const unsigned first_row = inside.y / kTile, end_row = (inside.y + inside.height - 1) / kTile + 1;
  size_t above = 0;  // where the rectangles that reach down to this row begin
  for (unsigned row = first_row; row < end_row; ++row) {
    const size_t here = found.size();
    for (unsigned column = first_column; column < end_column; ++column) {
      if (!get(column, row)) continue;
      const unsigned start = column;
      while (column < end_column && get(column, row)) set(column++, row, false);
      Rect run{start * kTile, row * kTile, (column - start) * kTile, kTile};
      run = run.clipped(width_, height_);
      const auto same =
          std::find_if(found.begin() + static_cast<ptrdiff_t>(above),
                       found.begin() + static_cast<ptrdiff_t>(here), [&](const Rect& at) {
                         return at.x == run.x && at.width == run.width && at.y + at.height == run.y;
                       });
      if (same != found.begin() + static_cast<ptrdiff_t>(here)) {
        same->height += run.height;
      } else {
        found.push_back(run);
      }
    }
    // Rectangles that grew are among the older ones: the window reaches back as long as any of them touches
    // this row's lower edge.
    while (above < found.size() && found[above].y + found[above].height <= row * kTile) ++above;
  }
  return found;
}

}  // namespace rhea::display::vnc
