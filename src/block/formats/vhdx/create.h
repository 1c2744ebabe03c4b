// Making new VHDX images, and changing the headers of those that there are.
#pragma once

#include "block/driver.h"
#include "block/formats/vhdx/layout.h"

namespace rhea::block {

std::span<const CreateOption> vhdx_create_options();
Result<> create_vhdx(const CreateRequest& request);
// The next header: goes over the one that does not count, and then counts. `active` says which one counts.
Result<> write_vhdx_header(BlockNode& file, vhdx::Header& header, size_t& active);

}  // namespace rhea::block
