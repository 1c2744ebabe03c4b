// From parsed options to a running machine.
#pragma once

#include "tools/system/options.h"

namespace rhea::system {

// Returns when the machine has ended, with the process's status.
Result<int> run_machine(const SystemOptions& options);

}  // namespace rhea::system
