// $NAME in the monitor's expressions: the registers of a vCPU by the names that QEMU's monitor has for them.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "machine/vm.h"

namespace rhea::monitor {

// Main thread, without the machine lock: the vCPUs stand still for a moment.
std::optional<uint64_t> register_value(machine::Vm& vm, unsigned cpu, std::string_view name);

}  // namespace rhea::monitor
