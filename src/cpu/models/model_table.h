// The named CPU models, as data.
#pragma once

#include <span>

#include "cpu/cpuid.h"

namespace rhea::cpu {

struct ModelRow {
  const char* name;     // with its version, "Haswell-v2"
  const char* aliases;  // other names, separated by spaces
  const char* text;     // brand string and help text
  Vendor vendor;        // Inherit: a version that differs from the row before by "+feat -feat"
  uint16_t family;
  uint8_t model, stepping;
  uint32_t level, xlevel;
  const char* features;
};

std::span<const ModelRow> model_rows();

}  // namespace rhea::cpu
