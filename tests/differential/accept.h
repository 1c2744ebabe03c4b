// Which differences between the two sides the manuals leave to the processor, or are known deviations.
#pragma once

#include "generator.h"

namespace rhea::differential {

// Nothing of the two results can be compared: a deviation of docs/cpu-conformance.md, or left to the
// processor.
bool accepted(const Input& input, const Result& native, const Result& translated);

// Of all its instructions together.
unsigned all_traits(const Case& c);

}  // namespace rhea::differential
