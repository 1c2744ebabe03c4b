// Format "vmdk": VMware virtual disks (Virtual Disk Format 5.0): monolithicSparse, monolithicFlat,
// twoGbMaxExtentSparse, twoGbMaxExtentFlat, streamOptimized; vmfs, custom and others of the same extents are
// read.
#pragma once

#include "block/driver.h"

namespace rhea::block {

const FormatDriver& vmdk_driver();

}  // namespace rhea::block
