// Reads `-cpu`'s argument. Names and syntax are QEMU's: "+feat" and "-feat" win over "feat=on|off" wherever
// they stand, and "-" over "+".
#include "cpu/models/model_spec.h"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>
#include <cstring>

#include "base/failf.h"
#include "config/key_values.h"
#include "cpu/models/feature_info.h"
#include "cpu/models/model_table.h"

namespace rhea::cpu {

namespace {

std::vector<std::string_view> split(std::string_view text, char by) {
  std::vector<std::string_view> out;
  while (true) {
    size_t at = text.find(by);
    if (at != 0 && !text.empty()) out.push_back(text.substr(0, at));
    if (at == std::string_view::npos) return out;
    text.remove_prefix(at + 1);
  }
}

const char* vendor_id(Vendor v) {
  return v == Vendor::Amd ? "AuthenticAMD" : "GenuineIntel";
}

// "pni ssse3" or "+hle -rtm"; the table names only features that exist (a unit test sees to it).
void apply_list(std::string_view list, FeatureSet& set) {
  for (std::string_view word : split(list, ' ')) {
    bool on = word[0] != '-';
    if (word[0] == '+' || word[0] == '-') word.remove_prefix(1);
    if (auto f = find_feature(word)) set.set(*f, on);
  }
}

bool answers_to(const ModelRow& row, std::string_view name) {
  if (name == row.name) return true;
  std::vector<std::string_view> names = split(row.aliases, ' ');
  return std::ranges::find(names, name) != names.end();
}

void take_row(const ModelRow& row, const ModelRow* base, ModelSpec& spec) {
  spec.brand = row.text;
  spec.vendor_id = vendor_id(base->vendor);
  spec.family = row.family;
  spec.model = row.model;
  spec.stepping = row.stepping;
  spec.level = row.level;
  spec.xlevel = row.xlevel;
}

bool find_row(std::string_view name, ModelSpec& spec) {
  const ModelRow* base = nullptr;
  FeatureSet set;
  for (const ModelRow& row : model_rows()) {
    if (row.vendor != Vendor::Inherit) {
      base = &row;
      set = {};
    }
    apply_list(row.features, set);
    if (!answers_to(row, name)) continue;
    take_row(row, base, spec);
    spec.features = set;
    spec.features.set(Feature::hypervisor);
    return true;
  }
  return false;
}

std::string host_brand() {
  std::string brand;
  for (uint32_t leaf = 0x80000002; leaf <= 0x80000004; ++leaf) {
    CpuidRegs r = host_cpuid(leaf, 0);
    for (uint32_t v : {r.eax, r.ebx, r.ecx, r.edx}) {
      for (int i = 0; i < 4; ++i) brand += static_cast<char>(v >> (8 * i) & 0xff);
    }
  }
  brand.resize(std::strlen(brand.c_str()));
  return brand;
}

std::string host_vendor() {
  CpuidRegs r = host_cpuid(0, 0);
  std::string id;
  for (uint32_t v : {r.ebx, r.edx, r.ecx}) {
    for (int i = 0; i < 4; ++i) id += static_cast<char>(v >> (8 * i) & 0xff);
  }
  return id;
}

// `max` and `host`: the host's identity and all that the engine can give. Under the translator that includes
// the bits by which a processor says that it needs no mitigation: guests' retpolines, buffer clearing and the
// like cannot work there — its process is the boundary, see docs/translator.md — and would only cost time.
void take_host(const ModelRequest& request, ModelSpec& spec) {
  spec.vendor_id = host_vendor();
  spec.brand = host_brand();
  uint32_t signature = host_cpuid(1, 0).eax;
  spec.family = (signature >> 8 & 0xf) + ((signature >> 8 & 0xf) == 0xf ? signature >> 20 & 0xff : 0);
  spec.model = (signature >> 4 & 0xf) | (signature >> 12 & 0xf0);
  spec.stepping = signature & 0xf;
  spec.level = 0xd;
  spec.features = request.supported;
  FeatureSet off;
  if (request.translator) {
    apply_list("stibp ssbd ibpb ibrs amd-stibp amd-ssbd virt-ssbd md-clear rsba", off);
  }
  if (spec.vendor_id != "AuthenticAMD") apply_list("cmp-legacy cr8legacy topoext osvw fxsr-opt", off);
  if ((host_cpuid(0x80000007, 0).edx >> 8 & 1) == 0) off.set(Feature::invtsc);
  spec.features = spec.features.without(off);
  spec.xlevel = spec.features.has(Feature::topoext) ? 0x8000001e : 0x80000008;
}

Result<bool> parse_bool(std::string_view key, std::string_view value) {
  if (value == "on" || value == "yes" || value == "true" || value == "y") return true;
  if (value == "off" || value == "no" || value == "false" || value == "n") return false;
  return failf(ErrorKind::Invalid, "CPU property '{}' expects 'on' or 'off', not '{}'", key, value);
}

Result<uint32_t> parse_number(std::string_view key, std::string_view value, uint64_t low, uint64_t high) {
  int base = 10;
  std::string_view digits = value;
  if (digits.starts_with("0x") || digits.starts_with("0X")) {
    base = 16;
    digits.remove_prefix(2);
  }
  uint64_t n = 0;
  auto [end, ec] = std::from_chars(digits.data(), digits.data() + digits.size(), n, base);
  if (ec != std::errc() || end != digits.data() + digits.size() || digits.empty() || n < low || n > high) {
    return failf(ErrorKind::Invalid, "CPU property '{}' expects a number from {} to {}, not '{}'", key, low,
                 high, value);
  }
  return static_cast<uint32_t>(n);
}

Result<> set_vendor(std::string_view value, ModelSpec& spec) {
  if (value.size() != 12) {
    return failf(ErrorKind::Invalid, "CPU property 'vendor' expects 12 characters, not '{}'", value);
  }
  spec.vendor_id = value;
  return {};
}

// In Hz, or with K, M or G behind it.
Result<uint64_t> parse_frequency(std::string_view key, std::string_view value) {
  constexpr uint64_t kSlowest = 1'000'000, kFastest = 10'000'000'000;
  constexpr std::string_view kSuffixes = "KMG";
  uint64_t unit = 1;
  std::string_view digits = value;
  if (!value.empty() && kSuffixes.contains(value.back())) {
    for (size_t i = 0; i <= kSuffixes.find(value.back()); ++i) unit *= 1000;
    digits.remove_suffix(1);
  }
  uint64_t number = 0;
  auto [end, problem] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  bool good = problem == std::errc() && end == digits.data() + digits.size() && number <= kFastest / unit;
  if (!good || number * unit < kSlowest) {
    return failf(ErrorKind::Invalid, "CPU property '{}' expects Hz from 1M to 10G, not '{}'", key, value);
  }
  return number * unit;
}

// Properties that are not features. False: no such property.
Result<bool> set_property(std::string_view key, std::string_view value, ModelSpec& spec) {
  if (key == "vendor") {
    TRY(set_vendor(value, spec));
  } else if (key == "model-id") {
    if (value.size() > 48)
      return failf(ErrorKind::Invalid, "CPU property 'model-id' takes at most 48 characters");
    spec.brand = value;
  } else if (key == "family") {
    spec.family = TRY(parse_number(key, value, 0, 0xff + 0xf));
  } else if (key == "model") {
    spec.model = TRY(parse_number(key, value, 0, 0xff));
  } else if (key == "stepping") {
    spec.stepping = TRY(parse_number(key, value, 0, 0xf));
  } else if (key == "level" || key == "min-level") {
    spec.level = TRY(parse_number(key, value, 0, 0x20));
  } else if (key == "xlevel" || key == "min-xlevel") {
    spec.xlevel = TRY(parse_number(key, value, 0x80000000, 0x80000021));
  } else if (key == "phys-bits") {
    spec.phys_bits = TRY(parse_number(key, value, 32, 52));
  } else if (key == "host-phys-bits") {
    if (TRY(parse_bool(key, value)))
      spec.phys_bits = std::clamp(host_cpuid(0x80000008, 0).eax & 0xff, 32u, 52u);
  } else if (key == "tsc-frequency") {
    spec.tsc_hz = TRY(parse_frequency(key, value));
  } else if (key == "l3-cache") {
    spec.l3_cache = TRY(parse_bool(key, value));
  } else if (key == "kvm") {
    spec.hide_hypervisor = !TRY(parse_bool(key, value));
  } else if (key == "check") {
    spec.check = TRY(parse_bool(key, value));
  } else if (key == "enforce") {
    spec.enforce = TRY(parse_bool(key, value));
  } else if (key == "migratable") {
    if (TRY(parse_bool(key, value))) spec.features.set(Feature::invtsc, false);
  } else if (key == "pmu") {
    if (TRY(parse_bool(key, value)))
      return failf(ErrorKind::Unsupported, "CPU property 'pmu=on' is not supported");
  } else {
    return false;
  }
  return true;
}

std::unexpected<Error> unknown_property(std::string_view key) {
  static constexpr std::string_view kProperties[] = {
      "vendor",         "model-id", "family", "model", "stepping", "level",      "xlevel", "phys-bits",
      "host-phys-bits", "l3-cache", "kvm",    "check", "enforce",  "migratable", "pmu",    "tsc-frequency"};
  std::vector<std::string_view> names(feature_names().begin(), feature_names().end());
  names.insert(names.end(), std::begin(kProperties), std::end(kProperties));
  return failf(ErrorKind::NotFound, "unknown CPU feature or property '{}'{}", key,
               config::did_you_mean(key, names));
}

std::unexpected<Error> unknown_model(std::string_view name) {
  std::vector<std::string_view> names = {"host", "max", "base"};
  for (const ModelRow& row : model_rows()) {
    names.emplace_back(row.name);
    for (std::string_view alias : split(row.aliases, ' ')) names.push_back(alias);
  }
  return failf(ErrorKind::NotFound, "unknown CPU model '{}'{} (-cpu help lists them)", name,
               config::did_you_mean(name, names));
}

Result<> apply_word(std::string_view word, ModelSpec& spec, FeatureSet& plus, FeatureSet& minus) {
  bool is_plus = word[0] == '+';
  if (is_plus || word[0] == '-') {
    std::string_view name = word.substr(1);
    auto f = find_feature(name);
    if (!f) return unknown_property(name);
    (is_plus ? plus : minus).set(*f);
    return {};
  }
  size_t equals = word.find('=');
  std::string key(word.substr(0, equals));
  std::ranges::replace(key, '_', '-');
  std::string_view value = equals == std::string_view::npos ? "on" : word.substr(equals + 1);
  if (auto f = find_feature(key)) {
    bool on = TRY(parse_bool(key, value));
    spec.features.set(*f, on);
    spec.explicitly_on.set(*f, on);
    return {};
  }
  if (!TRY(set_property(key, value, spec))) return unknown_property(key);
  return {};
}

}  // namespace

Vendor vendor_of(const ModelSpec& spec) {
  if (spec.vendor_id == "GenuineIntel") return Vendor::Intel;
  if (spec.vendor_id == "AuthenticAMD" || spec.vendor_id == "HygonGenuine") return Vendor::Amd;
  return Vendor::Other;
}

Result<ModelSpec> parse_model(const ModelRequest& request) {
  ModelSpec spec;
  std::vector<std::string_view> words = split(request.text, ',');
  if (words.empty()) return fail(ErrorKind::Invalid, "-cpu expects a model");
  std::string_view name = words[0];
  spec.name = name;
  if (name == "max" || name == "host") {
    take_host(request, spec);
  } else if (name == "base") {
    spec.vendor_id = vendor_id(Vendor::Intel);
    spec.family = 0;
  } else if (!find_row(name, spec)) {
    return unknown_model(name);
  }
  FeatureSet plus;
  FeatureSet minus;
  for (size_t i = 1; i < words.size(); ++i) TRY(apply_word(words[i], spec, plus, minus));
  spec.features = (spec.features | plus).without(minus);
  spec.explicitly_on = (spec.explicitly_on | plus).without(minus);
  return spec;
}

}  // namespace rhea::cpu
