// `-cpu MODEL,+feat,-feat,property=value`: from the text to the CPUID table of a machine's vCPUs.
//
//   request → parse → the model's row, its features and the user's changes → mask by what the engine can
//   give, with a warning for each feature that cannot be had → CpuidTable.
//
// Missing: Hyper-V enlightenments (hv-*). Used at start-up only; immutable afterwards.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "cpu/cpuid.h"
#include "cpu/models/topology.h"

namespace rhea::cpu {

struct ModelRequest {
  std::string text = "qemu64";  // the argument of -cpu
  Topology topology;
  FeatureSet supported;        // translator_features(), or what KVM says
  std::string engine = "TCG";  // for warnings: "TCG doesn't support requested feature"
  bool translator = true;      // false: hardware virtualization, whose mitigation bits are worth passing on
  std::string_view hypervisor_signature = "RheaRheaRhea";  // of leaf 40000000H, 12 characters
  uint32_t hypervisor_features = 0;                        // EAX of leaf 40000001H
};

class CpuModel {
 public:
  // Errors are one line that names what the user typed.
  static Result<std::unique_ptr<CpuModel>> create(const ModelRequest& request);

  const CpuidTable& table() const { return table_; }
  const std::string& name() const { return name_; }
  unsigned phys_bits() const { return phys_bits_; }
  uint64_t tsc_hz() const { return tsc_hz_; }  // tsc-frequency=; 0: the host's
  const Topology& topology() const { return topology_; }
  // "TCG doesn't support requested feature: CPUID.07H:EBX.hle [bit 4]", without "warning:".
  const std::vector<std::string>& warnings() const { return warnings_; }
  // Makes vCPU `index` one of this model. The model must outlive it.
  void attach(Core& c, unsigned index) const;

 private:
  friend struct ModelBuilder;
  CpuModel() = default;

  std::string name_;
  Topology topology_;
  unsigned phys_bits_ = 40;
  uint64_t tsc_hz_ = 0;
  CpuidTable table_;
  std::vector<CpuidTable::Entry> entries_;
  std::vector<std::string> warnings_;
};

// The text of `-cpu help`.
std::string cpu_help();

}  // namespace rhea::cpu
