// Format "vdi": VirtualBox disk images, dynamic and static.
#pragma once

#include "block/driver.h"

namespace rhea::block {

const FormatDriver& vdi_driver();

}  // namespace rhea::block
