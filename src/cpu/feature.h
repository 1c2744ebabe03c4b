// CPUID feature bits by name. The list is features.inc.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace rhea::cpu {

enum class Feature : uint16_t {
#define FEATURE(id, name, leaf, subleaf, reg, bit, source) id,
#include "cpu/features.inc"
#undef FEATURE
  kCount
};
inline constexpr unsigned kFeatureCount = static_cast<unsigned>(Feature::kCount);

// A set of features; plain data.
struct FeatureSet {
  static constexpr unsigned kWords = 8;
  uint64_t words[kWords] = {};

  constexpr bool has(Feature f) const {
    auto n = static_cast<unsigned>(f);
    return (words[n / 64] >> (n % 64) & 1) != 0;
  }
  constexpr void set(Feature f, bool on = true) {
    auto n = static_cast<unsigned>(f);
    uint64_t bit = uint64_t{1} << (n % 64);
    words[n / 64] = on ? words[n / 64] | bit : words[n / 64] & ~bit;
  }
  constexpr FeatureSet operator&(const FeatureSet& o) const {
    FeatureSet r;
    for (unsigned i = 0; i < kWords; ++i) r.words[i] = words[i] & o.words[i];
    return r;
  }
  constexpr FeatureSet operator|(const FeatureSet& o) const {
    FeatureSet r;
    for (unsigned i = 0; i < kWords; ++i) r.words[i] = words[i] | o.words[i];
    return r;
  }
  constexpr FeatureSet without(const FeatureSet& o) const {
    FeatureSet r;
    for (unsigned i = 0; i < kWords; ++i) r.words[i] = words[i] & ~o.words[i];
    return r;
  }
  constexpr bool operator==(const FeatureSet&) const = default;
};
static_assert(kFeatureCount <= FeatureSet::kWords * 64);

// By QEMU's name; '_' and '-' are the same, and so are the usual aliases ("sse4_1", "sse3", "xd").
std::optional<Feature> find_feature(std::string_view name);
std::string_view feature_name(Feature f);

}  // namespace rhea::cpu
