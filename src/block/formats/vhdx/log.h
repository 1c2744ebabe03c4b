// The log of a VHDX image ([MS-VHDX] 2.3): changes of metadata that another program had written there, but
// perhaps not yet to their places. We replay it and never write to it.
#pragma once

#include "block/formats/vhdx/layout.h"
#include "block/node.h"

namespace rhea::block::vhdx {

// Writes what the log holds to its places in `file`. The caller clears the header's log identifier
// afterwards.
Result<> replay_log(BlockNode& file, const Header& header);

}  // namespace rhea::block::vhdx
