// What deterministic runs do in place of the host's own: RDRAND and RDSEED from a generator with a fixed seed
// a vCPU (SplitMix64). SDM vol. 2 RDRAND. General registers only.
#include "engine/dbt/helpers/operands.h"

namespace rhea::dbt::helpers {

Outcome seeded_random(Core& c, const Insn& insn) {
  uint64_t z = c.random_state += 0x9e3779b97f4a7c15;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
  z = (z ^ z >> 27) * 0x94d049bb133111eb;
  write_gpr(c, insn.rm, insn.op_bytes, z ^ z >> 31);
  set_flags(c, cpu::rflags::CF);
  return Outcome::Continue;
}

}  // namespace rhea::dbt::helpers
