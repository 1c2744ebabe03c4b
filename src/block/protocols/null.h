// Protocol "null-co": keeps nothing and reads as zeros, for measuring what lies above it. Named null-co:// or
// driver=null-co with size= (1 GiB) and read-zeroes= (whether it says beforehand that all is zero).
#pragma once

#include <memory>

#include "block/protocols/protocol.h"
#include "config/key_values.h"

namespace rhea::block {

// Takes its options out of `options`.
Result<std::unique_ptr<ProtocolNode>> open_null(config::KeyValues& options);

}  // namespace rhea::block
