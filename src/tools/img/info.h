// How `info` describes an image, as text and as JSON; `snapshot -l` shares its table.
#pragma once

#include <string>
#include <vector>

#include "block/image.h"

namespace rhea::img {

std::string snapshot_table(const std::vector<block::SnapshotInfo>& snapshots);
std::string info_text(const block::ImageNode& image, const std::string& name);
block::Value info_value(const block::ImageNode& image, const std::string& name);

}  // namespace rhea::img
