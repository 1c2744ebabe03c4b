// Dirty bitmaps between images, for `bitmap` and `convert --bitmaps`.
#pragma once

#include <string>

#include "block/facets.h"

namespace rhea::img {

// What is dirty in the one is dirty in the other afterwards; granularities may differ.
Result<> merge_bitmap(block::ImageNode& from_image, const std::string& from_name, block::ImageNode& to_image,
                      const std::string& to_name);
// Whether all can be copied; the errors of convert.
Result<> check_bitmaps(block::ImageNode& source, bool skip_broken);
Result<> copy_bitmaps(block::ImageNode& source, block::ImageNode& target);

}  // namespace rhea::img
