// What the guest may see and use: a CPU model with the user's +feat/-feat applied and what the host and the engine
// cannot do masked out.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "cpu/core.h"

namespace rhea::cpu {

struct CpuidRegs {
  uint32_t eax, ebx, ecx, edx;
};

// Every CPUID feature bit that guests can be given or denied, as (leaf, subleaf, register, bit) packed; X-macro list in
// cpu/features.inc with QEMU's names ("sse4.2", "avx512f", "la57" …).
enum class Feature : uint16_t;

struct CpuidTable {
  // Precomputed at start-up; entries sorted by (leaf, subleaf). Values that depend on state (OSXSAVE, OSPKE, APIC id
  // and enable bit, XSAVE sizes) are patched at query time.
  struct Entry {
    uint32_t leaf, subleaf;
    bool any_subleaf;
    CpuidRegs regs;
  };
  const Entry* entries = nullptr;
  unsigned count = 0;
  uint32_t max_basic = 0, max_extended = 0;
  uint64_t features[8] = {};  // bit set over Feature, for quick has()
  uint64_t xcr0_allowed = 1;
  bool has(Feature f) const {
    auto n = static_cast<unsigned>(f);
    return (features[n / 64] >> (n % 64) & 1) != 0;
  }
};

// CPUID for this vCPU now (general registers only).
CpuidRegs query_cpuid(const Core& c, uint32_t leaf, uint32_t subleaf);

}  // namespace rhea::cpu
