// Who talks to the emulator itself: -monitor, -qmp.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "tools/system/options/table.h"

namespace rhea::system {

struct SystemOptions;

struct MonitorOptions {};

void add_monitor_options(Options& to, SystemOptions& options);

}  // namespace rhea::system
