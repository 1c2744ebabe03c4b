// Format "bochs": disk images of the emulator Bochs of the kind "growing", read-only.
#pragma once

#include "block/driver.h"

namespace rhea::block {

const FormatDriver& bochs_driver();

}  // namespace rhea::block
