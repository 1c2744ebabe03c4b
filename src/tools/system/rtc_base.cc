#include "tools/system/rtc_base.h"

#include <time.h>

#include <string>

#include "base/failf.h"

namespace rhea::system {

Result<machine::RtcBase> resolve_rtc_base(std::string_view base, int64_t now) {
  if (base == "utc") return machine::RtcBase{.host = true};
  if (base == "localtime") {
    time_t at = now;
    tm local{};
    ::localtime_r(&at, &local);
    return machine::RtcBase{.host = true, .seconds = local.tm_gmtoff};
  }
  std::string text(base);
  for (const char* format : {"%Y-%m-%dT%H:%M:%S", "%Y-%m-%d"}) {
    tm date{};
    const char* end = ::strptime(text.c_str(), format, &date);
    if (end != nullptr && *end == '\0') return machine::RtcBase{.seconds = ::timegm(&date)};
  }
  return failf(ErrorKind::Invalid, "'base' accepts utc, localtime or a date as 2024-02-29T12:00:00, not '{}'",
               base);
}

}  // namespace rhea::system
