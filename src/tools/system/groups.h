// The option groups of rhea-system-x86_64: one table each, from which parser and help come.
#pragma once

#include "config/schema.h"
#include "tools/system/options.h"

namespace rhea::system {

const config::Group<SmpOptions>& smp_group();
const config::Group<MemoryOptions>& memory_group();
const config::Group<AccelOptions>& accel_group();
const config::Group<RtcOptions>& rtc_group();
const config::Group<FwCfgOptions>& fw_cfg_group();
const config::Group<NameOptions>& name_group();

}  // namespace rhea::system
