// What a vCPU's page tables map, as `info tlb` and `info mem` show it. SDM vol. 3A 4.3 to 4.5.
//
// The guest decides how much that is: both stop with a line that says so. vCPUs still, machine lock held.
#pragma once

#include <string>

#include "cpu/core.h"

namespace rhea::monitor {

std::string list_pages(cpu::Core& core);   // a line a page, large ones as one
std::string list_ranges(cpu::Core& core);  // ranges of the same rights

}  // namespace rhea::monitor
