// Encodings that this CPU treats otherwise than the manuals do: the generator leaves them out.
#pragma once

#include "maker.h"

namespace rhea::differential {

// EVEX.X with a general register as ModRM.rm, where it means nothing: Zen 4 then takes RSP from before a PUSH
// or POP in front (an erratum).
bool extends_general(const std::vector<uint8_t>& bytes, const Decoded& d);

// Invalid by the manuals, and yet executed by Zen 4: EVEX.b with registers where there is no rounding, EVEX.z
// without a mask, EVEX.V' outside 64-bit mode, a fourth bit in the number of a mask register, VPERMQ and
// VPERMPD without VEX.W, LOCK VERW, near branches in 64-bit mode whose operand-size prefix makes them short
// enough.
bool executed_anyway(std::vector<uint8_t> bytes, unsigned bits);

}  // namespace rhea::differential
