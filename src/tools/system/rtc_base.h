// -rtc base=: where the guest's clock begins.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/result.h"

namespace rhea::system {

// Seconds since 1970 as the guest's clock shows them. `now` is the host's time.
Result<int64_t> resolve_rtc_base(std::string_view base, int64_t now);

}  // namespace rhea::system
