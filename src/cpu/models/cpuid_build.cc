// The CPUID leaves of a model. SDM vol. 2A CPUID; APM vol. 3 appendix E (80000005H, 6H, 1DH, 1EH).
// Caches are a fixed, plausible hierarchy: 32 KiB L1, 1 MiB (AMD: 512 KiB) L2 a core, 16 MiB L3 a socket.
#include <algorithm>
#include <bit>
#include <cstring>

#include "cpu/models/feature_info.h"
#include "cpu/models/model_spec.h"

namespace rhea::cpu {

namespace {

using Entry = CpuidTable::Entry;

struct Cache {
  unsigned type;  // 1 data, 2 instruction, 3 unified
  unsigned level;
  unsigned kib, ways;
  unsigned sharing_ids;  // how many APIC ids may share it, a power of two
};

// Leaf 4 and 8000001DH have one format; the core count of the first is left to the caller.
CpuidRegs cache_regs(const Cache& c) {
  unsigned sets = c.kib * 1024 / (64 * c.ways);
  return {.eax = c.type | c.level << 5 | 1u << 8 | (c.sharing_ids - 1) << 14,
          .ebx = 63 | (c.ways - 1) << 22,
          .ecx = sets - 1,
          .edx = c.level == 3 ? 4u : 0u};  // complex indexing
}

class Builder {
 public:
  Builder(const ModelSpec& spec, const ModelRequest& request, uint64_t xcr0)
      : spec_(spec),
        request_(request),
        topology_(request.topology),
        xcr0_(xcr0),
        amd_(vendor_of(spec) == Vendor::Amd) {
    thread_ids_ = 1u << topology_.thread_bits();
    socket_ids_ = thread_ids_ << topology_.core_bits();
  }

  std::vector<Entry> build() {
    basic();
    topology_leaves();
    xsave_leaves();
    hypervisor_leaves();
    extended();
    amd_leaves();
    std::ranges::sort(out_, [](const Entry& a, const Entry& b) {
      return a.leaf != b.leaf ? a.leaf < b.leaf : a.subleaf < b.subleaf;
    });
    return std::move(out_);
  }

 private:
  void add(uint32_t leaf, CpuidRegs r) { out_.push_back({leaf, 0, true, r}); }
  void add(uint32_t leaf, uint32_t subleaf, CpuidRegs r) { out_.push_back({leaf, subleaf, false, r}); }

  // The feature bits of one leaf.
  CpuidRegs bits(uint32_t leaf, uint32_t subleaf) const {
    CpuidRegs r{};
    for (unsigned i = 0; i < kFeatureCount; ++i) {
      const FeatureInfo& f = feature_info(static_cast<Feature>(i));
      if (f.leaf != leaf || f.subleaf != subleaf || !spec_.features.has(static_cast<Feature>(i))) continue;
      uint32_t bit = 1u << f.bit;
      switch (f.reg) {
        case CpuidReg::eax: r.eax |= bit; break;
        case CpuidReg::ebx: r.ebx |= bit; break;
        case CpuidReg::ecx: r.ecx |= bit; break;
        case CpuidReg::edx: r.edx |= bit; break;
      }
    }
    return r;
  }

  static uint32_t word(std::string_view s, size_t at) {
    uint32_t v = 0;
    for (size_t i = 0; i < 4 && at + i < s.size(); ++i) {
      v |= static_cast<uint32_t>(static_cast<unsigned char>(s[at + i])) << (8 * i);
    }
    return v;
  }

  uint32_t signature() const {
    uint32_t family = std::min(spec_.family, 0xfu);
    return spec_.stepping | (spec_.model & 0xf) << 4 | family << 8 | (spec_.model >> 4) << 16 |
           (spec_.family - family) << 20;
  }

  void basic() {
    std::string_view v = spec_.vendor_id;
    add(0, {spec_.level, word(v, 0), word(v, 8), word(v, 4)});
    CpuidRegs one = bits(1, 0);
    one.eax = signature();
    unsigned logical = std::min(socket_ids_, 255u);
    one.ebx = (spec_.features.has(Feature::clflush) ? 8u << 8 : 0) |
              (spec_.features.has(Feature::ht) ? logical << 16 : 0);
    add(1, one);
    if (!amd_) {
      // Descriptors: 4 KiB data TLB, 2/4 MiB data TLB; 32 KiB L1s, 2 MiB L2. Leaf 4 says more.
      add(2, {0x00035a01, 0, 0, 0x002c307d});
      leaf4();
    }
    if (spec_.features.has(Feature::monitor)) add(5, {64, 64, 3, 0});
    add(6, bits(6, 0));
    CpuidRegs seven = bits(7, 0);
    CpuidRegs seven_one = bits(7, 1);
    seven.eax = seven_one.eax != 0 ? 1 : 0;
    add(7, 0, seven);
    add(7, 1, seven_one);
  }

  std::vector<Cache> caches() const {
    unsigned core = thread_ids_;
    std::vector<Cache> list = {
        {1, 1, 32, 8, core}, {2, 1, 32, 8, core}, {3, 2, amd_ ? 512u : 1024u, 8, core}};
    if (spec_.l3_cache) list.push_back({3, 3, 16384, 16, socket_ids_});
    return list;
  }

  void leaf4() {
    uint32_t index = 0;
    for (const Cache& c : caches()) {
      CpuidRegs r = cache_regs(c);
      r.eax |= ((1u << topology_.core_bits()) - 1) << 26;
      add(4, index++, r);
    }
  }

  void topology_leaves() {
    if (spec_.level < 0xb) return;
    unsigned t = topology_.thread_bits();
    unsigned c = topology_.core_bits();
    add(0xb, 0, {t, topology_.threads, 0 | 1u << 8, 0});
    add(0xb, 1, {t + c, topology_.per_socket(), 1 | 2u << 8, 0});
  }

  void xsave_leaves() {
    if (!spec_.features.has(Feature::xsave)) return;
    add(0xd, 0,
        {static_cast<uint32_t>(xcr0_), 0, xsave_bytes(xcr0_, false), static_cast<uint32_t>(xcr0_ >> 32)});
    add(0xd, 1, bits(0xd, 1));
    for (unsigned i = 2; i < 32; ++i) {
      XsaveComponent x = xsave_component(i);
      if ((xcr0_ >> i & 1) != 0) add(0xd, i, {x.size, x.offset, 0, 0});
    }
  }

  void hypervisor_leaves() {
    if (!spec_.features.has(Feature::hypervisor) || spec_.hide_hypervisor) return;
    std::string_view s = request_.hypervisor_signature;
    add(0x40000000, {0x40000001, word(s, 0), word(s, 4), word(s, 8)});
    add(0x40000001, {request_.hypervisor_features, 0, 0, 0});
  }

  void extended() {
    std::string_view v = spec_.vendor_id;
    add(0x80000000, amd_ ? CpuidRegs{spec_.xlevel, word(v, 0), word(v, 8), word(v, 4)}
                         : CpuidRegs{spec_.xlevel, 0, 0, 0});
    CpuidRegs one = bits(0x80000001, 0);
    // AMD repeats the old bits of leaf 1 (APM vol. 3 E.4.2).
    constexpr uint32_t kRepeated = 0x0183f3ff;
    if (amd_) {
      one.edx |= bits(1, 0).edx & kRepeated;
      one.eax = signature();
    }
    add(0x80000001, one);
    std::string brand = spec_.brand;
    brand.resize(48, '\0');
    for (uint32_t i = 0; i < 3; ++i) {
      size_t at = i * 16;
      add(0x80000002 + i, {word(brand, at), word(brand, at + 4), word(brand, at + 8), word(brand, at + 12)});
    }
    add(0x80000006, {0, 0x42004200, (amd_ ? 512u : 1024u) << 16 | 6u << 12 | 1 << 8 | 64,
                     amd_ && spec_.l3_cache ? 32u << 18 | 9u << 12 | 1 << 8 | 64 : 0});
    add(0x80000007, bits(0x80000007, 0));
    CpuidRegs eight = bits(0x80000008, 0);
    unsigned linear = !spec_.features.has(Feature::lm) ? 32 : spec_.features.has(Feature::la57) ? 57 : 48;
    eight.eax = spec_.phys_bits | linear << 8;
    if (amd_ && topology_.per_socket() > 1) {
      eight.ecx = (topology_.per_socket() - 1) | (topology_.thread_bits() + topology_.core_bits()) << 12;
    }
    add(0x80000008, eight);
    add(0x80000021, bits(0x80000021, 0));
  }

  void amd_leaves() {
    if (!amd_) return;
    add(0x80000005,
        {0x01ff01ff, 0x01ff01ff, 32u << 24 | 8 << 16 | 1 << 8 | 64, 32u << 24 | 8 << 16 | 1 << 8 | 64});
    if (!spec_.features.has(Feature::topoext)) return;
    uint32_t index = 0;
    for (const Cache& c : caches()) add(0x8000001d, index++, cache_regs(c));
    add(0x8000001e, {0, (topology_.threads - 1) << 8, 0, 0});
  }

  const ModelSpec& spec_;
  const ModelRequest& request_;
  const Topology& topology_;
  uint64_t xcr0_;
  bool amd_;
  unsigned thread_ids_, socket_ids_;
  std::vector<Entry> out_;
};

}  // namespace

std::vector<CpuidTable::Entry> build_leaves(const ModelSpec& spec, const ModelRequest& request,
                                            uint64_t xcr0) {
  return Builder(spec, request, xcr0).build();
}

}  // namespace rhea::cpu
