// What a CPU model comes to once its text has been read: the input of the CPUID table builder.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "cpu/cpuid.h"
#include "cpu/models/cpu_model.h"

namespace rhea::cpu {

struct ModelSpec {
  std::string name;
  std::string brand;  // up to 48 characters
  std::string vendor_id;
  unsigned family = 6, model = 0, stepping = 0;
  uint32_t level = 1, xlevel = 0x80000008;
  unsigned phys_bits = 40;
  uint64_t tsc_hz = 0;  // 0: the host's
  bool l3_cache = true;
  bool hide_hypervisor = false;  // kvm=off: no hypervisor leaves
  FeatureSet features;
  FeatureSet explicitly_on;  // by the user
  bool check = true, enforce = false;
};

// The model and the user's changes, before anything is masked. Errors: NotFound, Invalid, Unsupported.
Result<ModelSpec> parse_model(const ModelRequest& request);

Vendor vendor_of(const ModelSpec& spec);
// The CPUID leaves of `spec`, whose features are final.
std::vector<CpuidTable::Entry> build_leaves(const ModelSpec& spec, const ModelRequest& request,
                                            uint64_t xcr0);

}  // namespace rhea::cpu
