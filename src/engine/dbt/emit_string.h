// Which string instructions are translated without a helper; see emit_string.cc.
#pragma once

#include <cstdint>

#include "engine/dbt/insn.h"

namespace rhea::dbt {

struct DbtOptions;

// The form to translate a MOVS, STOS or LODS by (Rewrite, with its helper for what is not plain), or null.
const Form* string_form(const Insn& i, uint32_t mode, const DbtOptions& options);
bool is_string_form(const Form& form);

}  // namespace rhea::dbt
