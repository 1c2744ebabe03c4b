// Format "qed": QEMU Enhanced Disk (docs/interop/qed_spec.txt of QEMU's documentation).
#pragma once

#include "block/driver.h"

namespace rhea::block {

const FormatDriver& qed_driver();

}  // namespace rhea::block
