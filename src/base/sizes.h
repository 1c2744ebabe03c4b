// Sizes as users write and read them: "10G", "1.5T", "512", "64k"; "200 MiB (209715200 bytes)".
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace rhea {

inline constexpr uint64_t kKiB = uint64_t{1} << 10;
inline constexpr uint64_t kMiB = uint64_t{1} << 20;
inline constexpr uint64_t kGiB = uint64_t{1} << 30;
inline constexpr uint64_t kTiB = uint64_t{1} << 40;

// A decimal number, with a fraction if a suffix follows that leaves whole bytes or more (1.5k), or a
// hexadecimal one without suffix (0x200). Suffixes b k K M G T P E, in powers of 1024; none means
// `default_unit` bytes. A fraction of a byte is rounded down. Errors: Invalid for text that is no size,
// OutOfRange from 2^64 up.
Result<uint64_t> parse_size(std::string_view text, uint64_t default_unit = 1);

// "200 MiB", three significant digits; the next unit from 1000 on.
std::string human_size(uint64_t bytes);
// "200 MiB (209715200 bytes)".
std::string human_size_exact(uint64_t bytes);

}  // namespace rhea
