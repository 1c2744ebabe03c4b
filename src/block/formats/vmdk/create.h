// Making new VMDK images.
#pragma once

#include "block/driver.h"

namespace rhea::block::vmdk {

std::span<const CreateOption> create_options();
Result<> create(const CreateRequest& request);

}  // namespace rhea::block::vmdk
