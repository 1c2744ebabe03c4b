// Sockets, cores and threads, and the APIC ids that follow from them: each level gets a field of the id wide
// enough for its count. SDM vol. 3A 9.9.1.
#pragma once

#include <bit>
#include <cstdint>

namespace rhea::cpu {

struct Topology {
  unsigned sockets = 1;
  unsigned cores = 1;    // a socket
  unsigned threads = 1;  // a core

  unsigned thread_bits() const { return static_cast<unsigned>(std::bit_width(threads - 1)); }
  unsigned core_bits() const { return static_cast<unsigned>(std::bit_width(cores - 1)); }
  unsigned per_socket() const { return cores * threads; }
  unsigned count() const { return sockets * per_socket(); }
  // vCPU index → APIC id: threads vary fastest, then cores, then sockets.
  uint32_t apic_id(unsigned index) const {
    unsigned thread = index % threads;
    unsigned core = index / threads % cores;
    unsigned socket = index / per_socket();
    return thread | core << thread_bits() | socket << (thread_bits() + core_bits());
  }
};

}  // namespace rhea::cpu
