// Format "raw": the file is the image. Options: offset and size, a window of the file.
#pragma once

#include "block/driver.h"

namespace rhea::block {

const FormatDriver& raw_driver();

}  // namespace rhea::block
