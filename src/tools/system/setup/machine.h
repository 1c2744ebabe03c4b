// From the machine's options to the board's configuration.
#pragma once

#include "engine/accelerator.h"
#include "machine/pc/pc_config.h"
#include "tools/system/options.h"

namespace rhea::system {

// Errors name the option.
Result<> configure_machine(const SystemOptions& options, const engine::Accelerator& accelerator,
                           machine::PcConfig& config);

}  // namespace rhea::system
