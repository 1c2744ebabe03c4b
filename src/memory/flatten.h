// Overlapping regions with priorities → a sorted, disjoint list of ranges.
#pragma once

#include <vector>

#include "memory/address_space.h"

namespace rhea::memory {

struct Region {
  FlatRange range;  // where it is and what it is
  int priority = 0;
  uint32_t sequence = 0;  // later wins among equals
  bool enabled = true;
};

std::vector<FlatRange> flatten(const std::vector<Region>& regions);

}  // namespace rhea::memory
