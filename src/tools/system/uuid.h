// UUIDs as users write them.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "base/result.h"

namespace rhea::system {

// In the order of the text; nothing is all zeros. Errors: Invalid.
Result<std::array<uint8_t, 16>> parse_uuid(const std::string& text);

}  // namespace rhea::system
