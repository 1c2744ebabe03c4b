// Compression of qcow2 clusters: raw deflate with a window of 4 KiB (the readers' limit), or zstd frames. Any
// thread.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"

namespace rhea::block::qcow2 {

// Empty: it does not get smaller.
Result<std::vector<uint8_t>> compress_cluster(unsigned type, std::span<const uint8_t> plain);
// `packed` may have rubbish behind the data; `into` must be filled exactly.
Result<> decompress_cluster(unsigned type, std::span<const uint8_t> packed, std::span<uint8_t> into);

}  // namespace rhea::block::qcow2
