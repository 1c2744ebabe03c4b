// Instructions whose form cannot run here: the fault that the mode or the CPU model makes of them.
#include "engine/dbt/helpers/operands.h"

namespace rhea::dbt::helpers {

Outcome raise_ud(Core& c, const Insn&) {
  return done(c.raise(vec::UD));
}
Outcome raise_nm(Core& c, const Insn&) {
  return done(c.raise(vec::NM));
}
Outcome raise_gp(Core& c, const Insn&) {
  return done(c.raise(vec::GP, 0));
}

}  // namespace rhea::dbt::helpers
