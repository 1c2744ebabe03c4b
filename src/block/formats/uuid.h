// Random identifiers (RFC 4122, version 4) for headers.
#pragma once

#include <array>
#include <bit>
#include <cstdint>

#include "base/result.h"

namespace rhea::block {

using Uuid = std::array<uint8_t, 16>;

// The first three of the five fields lie in the byte order given.
Result<Uuid> random_uuid(std::endian order);
Result<uint32_t> random_word();

}  // namespace rhea::block
