// Format "vhdx": Hyper-V virtual hard disks, version 2 ([MS-VHDX]); dynamic and fixed.
#pragma once

#include "block/driver.h"

namespace rhea::block {

const FormatDriver& vhdx_driver();

}  // namespace rhea::block
