// Which system instructions are translated without a helper; see emit_system.cc.
#pragma once

#include <cstdint>

#include "engine/dbt/insn.h"

namespace rhea::dbt {

struct DbtOptions;

// The form to translate the instruction by (Rewrite, with its helper for what is rare), or null.
const Form* system_form(const Insn& i, uint32_t mode, const DbtOptions& options);
// STAC or CLAC, by such a form, that ends its block because the mode is another one behind it.
bool changes_ac_mode(const Insn& i, uint32_t mode);

}  // namespace rhea::dbt
