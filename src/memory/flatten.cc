// Flattening: regions are laid down from the strongest to the weakest, each filling only what is still free;
// then neighbours that continue each other are joined. Quadratic in the number of regions, of which a PC has
// some fifty.
#include "memory/flatten.h"

#include <algorithm>

namespace rhea::memory {

namespace {

bool stronger(const Region& a, const Region& b) {
  return a.priority != b.priority ? a.priority > b.priority : a.sequence > b.sequence;
}

FlatRange slice(const FlatRange& of, uint64_t start, uint64_t end) {
  FlatRange part = of;
  part.start = start;
  part.size = end - start;
  part.offset = of.offset + (start - of.start);
  return part;
}

// Adds the parts of `range` that no range in `taken` (sorted, disjoint) covers, keeping it sorted.
void fill(std::vector<FlatRange>& taken, const FlatRange& range) {
  std::vector<FlatRange> parts;
  uint64_t at = range.start;
  for (const FlatRange& other : taken) {
    if (other.end() <= at) continue;
    if (other.start >= range.end()) break;
    if (other.start > at) parts.push_back(slice(range, at, other.start));
    at = other.end();
  }
  if (at < range.end()) parts.push_back(slice(range, at, range.end()));
  taken.insert(taken.end(), parts.begin(), parts.end());
  std::sort(taken.begin(), taken.end(),
            [](const FlatRange& a, const FlatRange& b) { return a.start < b.start; });
}

bool continues(const FlatRange& a, const FlatRange& b) {
  return a.end() == b.start && a.ram == b.ram && a.io == b.io && a.access == b.access &&
         a.offset + a.size == b.offset;
}

}  // namespace

std::vector<FlatRange> flatten(const std::vector<Region>& regions) {
  std::vector<Region> order;
  for (const Region& region : regions) {
    // A guest may move a region to where it would wrap around the end: then it is nowhere.
    bool wraps = region.range.end() <= region.range.start;
    if (region.enabled && !wraps) order.push_back(region);
  }
  std::sort(order.begin(), order.end(), stronger);
  std::vector<FlatRange> flat;
  for (const Region& region : order) fill(flat, region.range);

  std::vector<FlatRange> joined;
  for (const FlatRange& range : flat) {
    if (!joined.empty() && continues(joined.back(), range)) {
      joined.back().size += range.size;
    } else {
      joined.push_back(range);
    }
  }
  return joined;
}

}  // namespace rhea::memory
