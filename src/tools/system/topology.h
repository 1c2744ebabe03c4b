// -smp: what was said and what follows from it.
#pragma once

#include "cpu/models/topology.h"
#include "tools/system/options.h"

namespace rhea::system {

struct SmpChoice {
  cpu::Topology topology;  // of all that are possible
  unsigned cpus;           // present at start
};

// Numbers that are not given follow from those that are: cores first, then sockets, then threads, as in QEMU
// since its 6.2 machines. Errors: Invalid when they do not multiply out, OutOfRange above `most`.
Result<SmpChoice> resolve_topology(const SmpOptions& smp, unsigned most);

}  // namespace rhea::system
