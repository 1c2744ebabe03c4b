// What differs between two results, as text for a report.
#pragma once

#include <string>

#include "generator.h"

namespace rhea::differential {

// Empty: they agree.
std::string compare(const Input& input, const Result& native, const Result& translated);
std::string describe(const Input& input);

}  // namespace rhea::differential
