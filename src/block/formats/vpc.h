// Format "vpc": Virtual PC and Hyper-V disk images (VHD), dynamic and fixed; differencing ones are read.
#pragma once

#include "block/driver.h"

namespace rhea::block {

const FormatDriver& vpc_driver();

}  // namespace rhea::block
