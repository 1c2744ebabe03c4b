// What differs between two results, as text for a report.
#pragma once

#include <string>

#include "generator.h"

namespace rhea::differential {

// Empty: they agree.
// exact_flags: the status flags of a fault frame too, which the translator may leave stale (flag liveness).
std::string compare(const Input& input, const Result& native, const Result& translated, bool exact_flags);
std::string describe(const Input& input);

}  // namespace rhea::differential
