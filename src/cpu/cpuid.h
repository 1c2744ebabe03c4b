// What the guest may see and use: a CPU model with the user's +feat/-feat applied and what the host and the
// engine cannot do masked out. Models are made in cpu/models; this is the part that runs with the guest.
#pragma once

#include <cstdint>

#include "cpu/core.h"
#include "cpu/feature.h"

namespace rhea::cpu {

struct CpuidRegs {
  uint32_t eax, ebx, ecx, edx;
};

enum class Vendor : uint8_t { Intel, Amd, Other, Inherit };  // Inherit: only in the model table

struct CpuidTable {
  // Precomputed at start-up; entries sorted by (leaf, subleaf). Values that depend on state (OSXSAVE, OSPKE,
  // APIC id and enable bit, XSAVE sizes) are patched at query time.
  struct Entry {
    uint32_t leaf, subleaf;
    bool any_subleaf;
    CpuidRegs regs;
  };
  const Entry* entries = nullptr;
  unsigned count = 0;
  uint32_t max_basic = 0, max_extended = 0;
  FeatureSet features;
  uint64_t xcr0_allowed = 1;
  uint64_t xss_allowed = 0;
  uint64_t arch_capabilities = 0;  // IA32_ARCH_CAPABILITIES
  Vendor vendor = Vendor::Intel;
  uint16_t family = 6, model = 0;
  bool has(Feature f) const { return features.has(f); }
};

// CPUID for this vCPU now (general registers only).
CpuidRegs query_cpuid(const Core& c, uint32_t leaf, uint32_t subleaf);

// Bytes of a standard-format (or compacted) XSAVE area that holds `components`, header included.
uint32_t xsave_bytes(uint64_t components, bool compacted);

// Where a component's state lies in the standard format: the same whatever the host's layout.
struct XsaveComponent {
  uint32_t size, offset;
};
XsaveComponent xsave_component(unsigned index);  // size 0: not known

}  // namespace rhea::cpu
