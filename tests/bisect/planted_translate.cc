// The translator with one fault: in blocks of several instructions of 32-bit code, ADD of a small constant to
// EDX adds one more, from the second instruction on. For tests/bisect/run.sh, which has to find it; no other
// program is built from this.
#include <Zydis/Mnemonic.h>

#include <vector>

#include "engine/dbt/groups.h"
#include "engine/dbt/mode.h"

namespace rhea::dbt {

namespace {

std::vector<AccessPlan> plan_accesses_wrongly(std::vector<Insn>& insns, uint32_t m, bool enabled,
                                              unsigned& groups) {
  for (size_t n = 1; n < insns.size(); ++n) {
    Insn& i = insns[n];
    if (code_bits_of(m) == 32 && i.mnemonic == ZYDIS_MNEMONIC_ADD && i.opcode == 0x83 && i.rm == cpu::RDX &&
        !i.has_mem && i.raw[i.imm_offset] < 0x7f) {
      ++i.raw[i.imm_offset];
      ++i.imm;
    }
  }
  return plan_accesses(insns, m, enabled, groups);
}

}  // namespace

}  // namespace rhea::dbt

#define plan_accesses plan_accesses_wrongly
#include "engine/dbt/translate.cc"
