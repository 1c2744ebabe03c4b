// Disks: -drive, -blockdev, -hda and its kin.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "tools/system/options/table.h"

namespace rhea::system {

struct SystemOptions;

struct StorageOptions {};

void add_storage_options(Options& to, SystemOptions& options);

}  // namespace rhea::system
