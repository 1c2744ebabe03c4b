// Format "luks": a LUKS1 volume, encrypted sectors behind a header with key slots. Opened with key-secret=ID.
#pragma once

#include "block/driver.h"

namespace rhea::block {

const FormatDriver& luks_driver();

}  // namespace rhea::block
