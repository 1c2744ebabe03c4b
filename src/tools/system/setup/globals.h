// -global: defaults of devices' properties.
#pragma once

#include <vector>

#include "machine/pc/pc_config.h"
#include "tools/system/options.h"

namespace rhea::system {

// Gives them to the devices that are to be plugged in, and to what the board has itself. Errors: NotFound for
// a driver or property that does not exist, Invalid for a value, Unsupported.
Result<> apply_globals(const std::vector<GlobalOption>& globals, machine::PcConfig& config);

}  // namespace rhea::system
