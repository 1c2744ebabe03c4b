// Where each feature bit is in CPUID and who can provide it.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "cpu/cpuid.h"
#include "cpu/feature.h"

namespace rhea::cpu {

// Pretend leaf for features that are bits of IA32_ARCH_CAPABILITIES.
inline constexpr uint32_t kMsrArchCapabilities = 0xfffff10a;

enum class FeatureSource : uint8_t { Engine, Host, Never };
enum class CpuidReg : uint8_t { eax, ebx, ecx, edx };

struct FeatureInfo {
  const char* name;
  uint32_t leaf, subleaf;
  CpuidReg reg;
  uint8_t bit;
  FeatureSource source;
};

const FeatureInfo& feature_info(Feature f);
std::span<const std::string_view> feature_names();
uint32_t pick(const CpuidRegs& r, CpuidReg reg);

// "CPUID.07H:EBX.hle [bit 4]", as QEMU writes it.
std::string feature_place(Feature f);

using CpuidReader = std::function<CpuidRegs(uint32_t leaf, uint32_t subleaf)>;
// The features whose bits are set in what `reader` says (KVM's list, the host's).
FeatureSet features_of(const CpuidReader& reader);

// CPUID of the machine we run on.
CpuidRegs host_cpuid(uint32_t leaf, uint32_t subleaf);
// What the translator can give on this host: its own, and the host's instructions whose state the host OS
// enables.
FeatureSet translator_features();

}  // namespace rhea::cpu
