// Format "dmg": Apple disk images (UDIF), read-only.
#pragma once

#include "block/driver.h"

namespace rhea::block {

const FormatDriver& dmg_driver();

}  // namespace rhea::block
