// Sockets, cores and threads, and the APIC ids that follow from them.
//
// SDM vol. 3A 9.9.1: an APIC id has a field for each level, wide enough for the largest number at that level.
#pragma once

#include <bit>
#include <cstdint>

namespace rhea::machine {

struct Topology {
  unsigned sockets = 1, cores = 1, threads = 1;
  unsigned cpus = 1;  // present at start; max_cpus() are possible

  unsigned max_cpus() const { return sockets * cores * threads; }
  unsigned thread_bits() const { return static_cast<unsigned>(std::bit_width(threads - 1)); }
  unsigned core_bits() const { return static_cast<unsigned>(std::bit_width(cores - 1)); }
  uint32_t apic_id(unsigned index) const {
    unsigned thread = index % threads, core = index / threads % cores, socket = index / threads / cores;
    return socket << (thread_bits() + core_bits()) | core << thread_bits() | thread;
  }
};

}  // namespace rhea::machine
