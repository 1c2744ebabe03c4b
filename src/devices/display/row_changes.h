// Collects the parts of rows that a refresh has redrawn and reports them to the screen as few rectangles.
#pragma once

#include <algorithm>

#include "display/screen.h"

namespace rhea::devices {

class RowChanges {
 public:
  explicit RowChanges(display::Screen& screen) : screen_(screen) {}
  ~RowChanges() { flush(); }
  RowChanges(const RowChanges&) = delete;
  RowChanges& operator=(const RowChanges&) = delete;

  // Pixels [begin, end) of rows [y, y + rows), which come in ascending order.
  void add(unsigned y, unsigned rows, unsigned begin, unsigned end) {
    if (!pending_.empty() && y != pending_.y + pending_.height) flush();
    pending_ = pending_.united({begin, y, end - begin, rows});
  }
  void flush() {
    if (!pending_.empty()) screen_.changed(pending_);
    pending_ = {};
  }

 private:
  display::Screen& screen_;
  display::Rect pending_;
};

}  // namespace rhea::devices
