// The network: -netdev, -nic, -net.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "tools/system/options/table.h"

namespace rhea::system {

struct SystemOptions;

struct NetworkOptions {};

void add_network_options(Options& to, SystemOptions& options);

}  // namespace rhea::system
