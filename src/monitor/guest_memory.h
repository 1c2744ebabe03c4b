// Guest memory as a monitor reads it: physical, or as a vCPU's page tables map it now.
#pragma once

#include <cstdint>
#include <span>

#include "machine/vm.h"

namespace rhea::monitor {

// False: part of it cannot be reached. Machine lock held; for virtual addresses the vCPUs stand still with
// their states pulled.
bool read_guest(machine::Vm& vm, unsigned cpu, bool is_virtual, uint64_t address, std::span<uint8_t> to);

}  // namespace rhea::monitor
