// Format "qcow2", versions 2 and 3 (docs/interop/qcow2.txt of QEMU's documentation).
#pragma once

#include "block/driver.h"

namespace rhea::block {

const FormatDriver& qcow2_driver();

}  // namespace rhea::block
