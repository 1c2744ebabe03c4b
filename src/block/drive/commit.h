// Writing what an overlay holds back into the image below it.
#pragma once

#include "base/result.h"
#include "block/image.h"

namespace rhea::block {

// Copies every range that `overlay` itself allocates into `base`, which is grown if it is shorter, and closes
// `base`. Blocks. The overlay stays as it is: it says the same as the image below it then.
Result<> commit_into(ImageNode& overlay, ImageNode& base);

}  // namespace rhea::block
