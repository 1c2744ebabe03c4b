#include "block/formats/vpc_layout.h"

#include <algorithm>

namespace rhea::block::vpc {

Geometry geometry_of(uint64_t sectors) {
  sectors = std::min(sectors, kLargestGeometry.total());
  uint64_t heads = 16;
  uint64_t per_track = 255;
  uint64_t tracks = sectors / per_track;
  if (sectors <= uint64_t{65535} * 16 * 63) {
    per_track = 17;
    tracks = sectors / per_track;
    heads = std::max<uint64_t>((tracks + 1023) / 1024, 4);
    if (tracks >= heads * 1024 || heads > 16) {
      per_track = 31;
      heads = 16;
      tracks = sectors / per_track;
    }
    if (tracks >= heads * 1024) {
      per_track = 63;
      heads = 16;
      tracks = sectors / per_track;
    }
  }
  return {static_cast<uint16_t>(tracks / heads), static_cast<uint8_t>(heads),
          static_cast<uint8_t>(per_track)};
}

Geometry geometry_for_at_least(uint64_t sectors) {
  if (sectors >= kLargestGeometry.total()) return kLargestGeometry;
  Geometry out;
  for (uint64_t more = 0; out.total() < sectors; ++more) out = geometry_of(sectors + more);
  return out;
}

}  // namespace rhea::block::vpc
