// The architectural state as text, in the layout of QEMU's register dumps, which people and scripts can read.
// Not for code that runs with guest vector state in the host's registers.
#pragma once

#include <string>

#include "cpu/state.h"

namespace rhea::cpu {

// General registers, segments, tables, control and debug registers; lines end in '\n'. Vector state is left
// out.
std::string dump_state(const CpuState& s);
// x87 and SSE registers.
std::string dump_vectors(const CpuState& s);

}  // namespace rhea::cpu
