// Masks a model by what the engine can give, and assembles the table.
#include "cpu/models/cpu_model.h"

#include <fmt/core.h>

#include <utility>

#include "base/failf.h"
#include "cpu/models/feature_info.h"
#include "cpu/models/model_spec.h"
#include "cpu/models/model_table.h"

namespace rhea::cpu {

namespace {

// The first does not work without the second: SDM vol. 1 chapters 13-15, APM vol. 4.
constexpr std::pair<Feature, Feature> kNeeds[] = {
    {Feature::xsaveopt, Feature::xsave},
    {Feature::xsavec, Feature::xsave},
    {Feature::xgetbv1, Feature::xsave},
    {Feature::xsaves, Feature::xsavec},
    {Feature::pku, Feature::xsave},
    {Feature::avx, Feature::xsave},
    {Feature::avx2, Feature::avx},
    {Feature::fma, Feature::avx},
    {Feature::f16c, Feature::avx},
    {Feature::vaes, Feature::avx},
    {Feature::vpclmulqdq, Feature::avx},
    {Feature::xop, Feature::avx},
    {Feature::fma4, Feature::avx},
    {Feature::avx_vnni, Feature::avx2},
    {Feature::avx512f, Feature::avx2},
    {Feature::avx512dq, Feature::avx512f},
    {Feature::avx512cd, Feature::avx512f},
    {Feature::avx512bw, Feature::avx512f},
    {Feature::avx512vl, Feature::avx512f},
    {Feature::avx512ifma, Feature::avx512f},
    {Feature::avx512vbmi, Feature::avx512bw},
    {Feature::avx512vbmi2, Feature::avx512bw},
    {Feature::avx512vnni, Feature::avx512f},
    {Feature::avx512bitalg, Feature::avx512bw},
    {Feature::avx512_vpopcntdq, Feature::avx512f},
    {Feature::avx512_bf16, Feature::avx512bw},
    {Feature::avx512_fp16, Feature::avx512bw},
    {Feature::avx512_vp2intersect, Feature::avx512f},
    {Feature::la57, Feature::lm},
    {Feature::pcid, Feature::lm},
    {Feature::pdpe1gb, Feature::lm},
    {Feature::x2apic, Feature::apic},
    {Feature::tsc_deadline, Feature::apic},
    {Feature::fsgsbase, Feature::lm},
};

// Whoever asked for the dependent by name is told.
void drop_dependents(ModelSpec& spec, std::vector<std::string>& warnings) {
  FeatureSet& set = spec.features;
  for (bool changed = true; changed;) {
    changed = false;
    for (auto [feature, needs] : kNeeds) {
      if (!set.has(feature) || set.has(needs)) continue;
      set.set(feature, false);
      changed = true;
      if (!spec.explicitly_on.has(feature) || !spec.check) continue;
      warnings.push_back(fmt::format("feature depends on '{}', which is off: {}", feature_name(needs),
                                     feature_place(feature)));
    }
  }
}

// Parts of models that mean nested virtualization or a performance monitor: gone without a word unless the
// user asked.
bool quietly_dropped(Feature f) {
  const FeatureInfo& i = feature_info(f);
  return f == Feature::svm || f == Feature::vmx || i.leaf == 0x8000000a || f == Feature::perfctr_core ||
         f == Feature::perfctr_nb;
}

Result<> mask(const ModelRequest& request, ModelSpec& spec, std::vector<std::string>& warnings) {
  FeatureSet missing = spec.features.without(request.supported);
  for (unsigned i = 0; i < kFeatureCount; ++i) {
    auto f = static_cast<Feature>(i);
    if (!missing.has(f)) continue;
    if (quietly_dropped(f) && !spec.explicitly_on.has(f)) continue;
    if (!spec.check && !spec.enforce) continue;
    warnings.push_back(
        fmt::format("{} doesn't support requested feature: {}", request.engine, feature_place(f)));
  }
  if (spec.enforce && !warnings.empty()) {
    return failf(ErrorKind::Unsupported, "CPU model '{}' with enforce=on: {}", spec.name, warnings.front());
  }
  spec.features = spec.features & request.supported;
  drop_dependents(spec, warnings);
  return {};
}

// Leaves that features live in must be within the level.
void raise_levels(ModelSpec& spec) {
  for (unsigned i = 0; i < kFeatureCount; ++i) {
    auto f = static_cast<Feature>(i);
    uint32_t leaf = feature_info(f).leaf;
    if (!spec.features.has(f) || leaf == kMsrArchCapabilities) continue;
    if (leaf < 0x40000000 && leaf > spec.level) spec.level = leaf;
    if (leaf >= 0x80000000 && leaf > spec.xlevel) spec.xlevel = leaf;
  }
  if (spec.features.has(Feature::xsave) && spec.level < 0xd) spec.level = 0xd;
  if (spec.features.has(Feature::lm) && spec.xlevel < 0x80000008) spec.xlevel = 0x80000008;
  if (spec.features.has(Feature::topoext) && spec.xlevel < 0x8000001e) spec.xlevel = 0x8000001e;
  if (!spec.features.has(Feature::lm)) {
    unsigned limit = spec.features.has(Feature::pae) || spec.features.has(Feature::pse36) ? 36 : 32;
    if (spec.phys_bits > limit) spec.phys_bits = limit;
  }
}

uint64_t xcr0_of(const FeatureSet& f) {
  if (!f.has(Feature::xsave)) return 1;
  uint64_t xcr0 = 3;
  if (f.has(Feature::avx)) xcr0 |= 4;
  if (f.has(Feature::avx512f)) xcr0 |= 0xe0;
  if (f.has(Feature::pku)) xcr0 |= 0x200;
  return xcr0;
}

uint64_t arch_capabilities_of(const FeatureSet& f) {
  uint64_t value = 0;
  for (unsigned i = 0; i < kFeatureCount; ++i) {
    const FeatureInfo& info = feature_info(static_cast<Feature>(i));
    if (info.leaf == kMsrArchCapabilities && f.has(static_cast<Feature>(i))) value |= uint64_t{1} << info.bit;
  }
  return value;
}

}  // namespace

struct ModelBuilder {
  static std::unique_ptr<CpuModel> assemble(const ModelSpec& spec, const ModelRequest& request) {
    std::unique_ptr<CpuModel> m(new CpuModel);
    m->name_ = spec.name;
    m->topology_ = request.topology;
    m->phys_bits_ = spec.phys_bits;
    m->tsc_hz_ = spec.tsc_hz;
    uint64_t xcr0 = xcr0_of(spec.features);
    m->entries_ = build_leaves(spec, request, xcr0);
    CpuidTable& t = m->table_;
    t.entries = m->entries_.data();
    t.count = static_cast<unsigned>(m->entries_.size());
    t.max_basic = spec.level;
    t.max_extended = spec.xlevel;
    t.features = spec.features;
    t.xcr0_allowed = xcr0;
    t.arch_capabilities = arch_capabilities_of(spec.features);
    t.vendor = vendor_of(spec);
    t.family = static_cast<uint16_t>(spec.family);
    t.model = static_cast<uint16_t>(spec.model);
    return m;
  }
  static void set_warnings(CpuModel& m, std::vector<std::string> w) { m.warnings_ = std::move(w); }
};

Result<std::unique_ptr<CpuModel>> CpuModel::create(const ModelRequest& request) {
  ModelSpec spec = TRY(parse_model(request));
  std::vector<std::string> warnings;
  spec.features.set(Feature::ht, request.topology.per_socket() > 1);
  if (vendor_of(spec) == Vendor::Amd && spec.features.has(Feature::ht))
    spec.features.set(Feature::cmp_legacy);
  TRY(mask(request, spec, warnings));
  raise_levels(spec);
  auto model = ModelBuilder::assemble(spec, request);
  ModelBuilder::set_warnings(*model, std::move(warnings));
  return model;
}

void CpuModel::attach(Core& c, unsigned index) const {
  c.index = index;
  c.cpuid = &table_;
  c.phys_bits = phys_bits_;
  c.gigabyte_pages = table_.has(Feature::pdpe1gb);
  c.pse36 = table_.has(Feature::pse36);
  c.apic_id = topology_.apic_id(index);
  c.thread_bits = static_cast<uint8_t>(topology_.thread_bits());
}

std::string cpu_help() {
  std::string out = "Available CPUs:\n";
  auto line = [&](std::string_view name, std::string_view text) {
    out += fmt::format("x86 {:<22}  {}\n", name, text);
  };
  for (const ModelRow& row : model_rows()) {
    std::string_view aliases = row.aliases;
    while (!aliases.empty()) {
      size_t at = aliases.find(' ');
      line(aliases.substr(0, at), fmt::format("(alias of {})", row.name));
      if (at == std::string_view::npos) break;
      aliases.remove_prefix(at + 1);
    }
    line(row.name, row.text);
  }
  line("base", "base CPU model type with no features enabled");
  line("host", "the host's processor, with all its features that the accelerator supports");
  line("max", "every feature that the accelerator supports on this host");
  out += "\nRecognized CPUID flags:\n";
  size_t column = 0;
  for (std::string_view name : feature_names()) {
    if (column != 0 && column + 1 + name.size() > 79) {
      out += '\n';
      column = 0;
    }
    out += column == 0 ? "  " : " ";
    out += name;
    column += (column == 0 ? 2 : 1) + name.size();
  }
  return out + '\n';
}

}  // namespace rhea::cpu
