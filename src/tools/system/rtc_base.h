// -rtc base=: where the guest's clock begins.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/result.h"
#include "machine/pc/pc_config.h"

namespace rhea::system {

// `now` is the host's time in seconds since 1970, for the time zone's difference.
Result<machine::RtcBase> resolve_rtc_base(std::string_view base, int64_t now);

}  // namespace rhea::system
