// Format "cloop": compressed loop images of Linux, version 2, read-only.
#pragma once

#include "block/driver.h"

namespace rhea::block {

const FormatDriver& cloop_driver();

}  // namespace rhea::block
