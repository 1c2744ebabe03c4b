// Feature names and places; what this host has. SDM vol. 2A CPUID, vol. 1 13.3 (XCR0).
#include "cpu/models/feature_info.h"

#include <cpuid.h>
#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <utility>

#include "base/check.h"

namespace rhea::cpu {

namespace {

constexpr FeatureInfo kInfo[] = {
#define FEATURE(id, name, leaf, subleaf, reg, bit, source) \
  {name, leaf, subleaf, CpuidReg::reg, bit, FeatureSource::source},
#include "cpu/features.inc"
#undef FEATURE
};

constexpr std::string_view kNames[] = {
#define FEATURE(id, name, leaf, subleaf, reg, bit, source) name,
#include "cpu/features.inc"
#undef FEATURE
};

// Second names; underscores have become dashes already.
constexpr std::pair<std::string_view, std::string_view> kAliases[] = {
    {"sse3", "pni"},
    {"pclmuldq", "pclmulqdq"},
    {"sse4-1", "sse4.1"},
    {"sse4-2", "sse4.2"},
    {"xd", "nx"},
    {"ffxsr", "fxsr-opt"},
    {"i64", "lm"},
    {"lzcnt", "abm"},
    {"avx512vpopcntdq", "avx512-vpopcntdq"},
    {"avx512-vnni", "avx512vnni"},
    {"avx512-bitalg", "avx512bitalg"},
    {"sha", "sha-ni"},
};

uint64_t host_xcr0() {
  unsigned a, b, c, d;
  if (__get_cpuid(1, &a, &b, &c, &d) == 0 || (c & (1u << 27)) == 0) return 1;
  uint32_t low, high;
  // SAFETY: OSXSAVE is set, so XGETBV of register 0 exists.
  asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return low | uint64_t{high} << 32;
}

bool starts(std::string_view name, std::string_view prefix) {
  return name.substr(0, prefix.size()) == prefix;
}

// The part of the XSAVE state that instructions of this feature use.
uint64_t needs_xcr0(std::string_view name) {
  if (starts(name, "avx512")) return 0xe6;
  if (starts(name, "avx") || name == "fma" || name == "f16c" || name == "vaes" || name == "vpclmulqdq" ||
      name == "xop" || name == "fma4") {
    return 6;
  }
  return 0;
}

}  // namespace

const FeatureInfo& feature_info(Feature f) {
  auto n = static_cast<unsigned>(f);
  CHECK(n < kFeatureCount);
  return kInfo[n];
}

std::span<const std::string_view> feature_names() {
  return kNames;
}

std::string_view feature_name(Feature f) {
  return feature_info(f).name;
}

std::optional<Feature> find_feature(std::string_view given) {
  std::string name(given);
  std::ranges::replace(name, '_', '-');
  for (auto [alias, real] : kAliases) {
    if (name == alias) {
      name = real;
      break;
    }
  }
  for (unsigned i = 0; i < kFeatureCount; ++i) {
    if (kNames[i] == name) return static_cast<Feature>(i);
  }
  return std::nullopt;
}

uint32_t pick(const CpuidRegs& r, CpuidReg reg) {
  switch (reg) {
    case CpuidReg::eax: return r.eax;
    case CpuidReg::ebx: return r.ebx;
    case CpuidReg::ecx: return r.ecx;
    default: return r.edx;
  }
}

std::string feature_place(Feature f) {
  const FeatureInfo& i = feature_info(f);
  if (i.leaf == kMsrArchCapabilities) return fmt::format("MSR(10AH).{} [bit {}]", i.name, i.bit);
  constexpr const char* kRegs[] = {"EAX", "EBX", "ECX", "EDX"};
  return fmt::format("CPUID.{:02X}H:{}.{} [bit {}]", i.leaf, kRegs[static_cast<unsigned>(i.reg)], i.name,
                     i.bit);
}

FeatureSet features_of(const CpuidReader& reader) {
  FeatureSet set;
  for (unsigned i = 0; i < kFeatureCount; ++i) {
    if (kInfo[i].leaf == kMsrArchCapabilities) continue;
    CpuidRegs r = reader(kInfo[i].leaf, kInfo[i].subleaf);
    if ((pick(r, kInfo[i].reg) >> kInfo[i].bit & 1) != 0) set.set(static_cast<Feature>(i));
  }
  return set;
}

CpuidRegs host_cpuid(uint32_t leaf, uint32_t subleaf) {
  CpuidRegs r{};
  if (__get_cpuid_count(leaf, subleaf, &r.eax, &r.ebx, &r.ecx, &r.edx) == 0) return {};
  return r;
}

FeatureSet translator_features() {
  FeatureSet set;
  // CPUID traps in a virtual machine, so each leaf is asked once.
  uint32_t leaf = 0;
  uint32_t subleaf = 0;
  bool have = false;
  CpuidRegs r{};
  uint64_t xcr0 = host_xcr0();
  for (unsigned i = 0; i < kFeatureCount; ++i) {
    const FeatureInfo& info = kInfo[i];
    if (info.source == FeatureSource::Engine) set.set(static_cast<Feature>(i));
    if (info.source != FeatureSource::Host) continue;
    if (!have || info.leaf != leaf || info.subleaf != subleaf) {
      leaf = info.leaf;
      subleaf = info.subleaf;
      have = true;
      r = host_cpuid(leaf, subleaf);
    }
    uint64_t needs = needs_xcr0(info.name);
    if ((pick(r, info.reg) >> info.bit & 1) != 0 && (xcr0 & needs) == needs) set.set(static_cast<Feature>(i));
  }
  return set;
}

}  // namespace rhea::cpu
