// Format "parallels": Parallels disk images, version 2 (docs/interop/parallels.txt of QEMU's documentation),
// read-only.
#pragma once

#include "block/driver.h"

namespace rhea::block {

const FormatDriver& parallels_driver();

}  // namespace rhea::block
