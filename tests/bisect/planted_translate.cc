// The translator with one fault: in blocks of several instructions of 32-bit code, ADD of a small constant to
// EDX adds one more, from the second instruction on. For tests/bisect/run.sh, which has to find it; no other
// program is built from this.
#include <Zydis/Mnemonic.h>

#include "engine/dbt/groups.h"
#include "engine/dbt/mode.h"

namespace rhea::dbt {

// Between decoding and emitting.
class PlantingPlanner : public AccessPlanner {
 public:
  std::span<const AccessPlan> plan(std::span<const Insn> insns, uint32_t m, int64_t max_span,
                                   unsigned& groups) {
    for (size_t n = 1; n < insns.size(); ++n) {
      auto& i = const_cast<Insn&>(insns[n]);  // the translator's own buffer
      if (code_bits_of(m) == 32 && i.mnemonic == ZYDIS_MNEMONIC_ADD && i.opcode == 0x83 && i.rm == cpu::RDX &&
          !i.has_mem && i.raw[i.imm_offset] < 0x7f) {
        ++i.raw[i.imm_offset];
        ++i.imm;
      }
    }
    return AccessPlanner::plan(insns, m, max_span, groups);
  }
};

}  // namespace rhea::dbt

#define AccessPlanner PlantingPlanner
#include "engine/dbt/translate.cc"
