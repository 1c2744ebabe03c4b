// CPUID as the guest executes it. SDM vol. 2A CPUID; APM vol. 3 appendix E. General registers only.
#include "cpu/cpuid.h"

namespace rhea::cpu {

namespace {

using Entry = CpuidTable::Entry;

const Entry* find_entry(const CpuidTable& t, uint32_t leaf, uint32_t subleaf) {
  unsigned low = 0;
  unsigned high = t.count;
  while (low < high) {
    unsigned middle = (low + high) / 2;
    const Entry& e = t.entries[middle];
    if (e.leaf == leaf && (e.any_subleaf || e.subleaf == subleaf)) return &e;
    if (e.leaf < leaf || (e.leaf == leaf && e.subleaf < subleaf)) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return nullptr;
}

void patch(const Core& c, uint32_t leaf, uint32_t subleaf, CpuidRegs& r) {
  const CpuState& s = c.s;
  constexpr uint32_t kApicBit = 1u << 9;
  bool apic_enabled = (s.apic_base & 0x800) != 0;
  switch (leaf) {
    case 1:
      r.ebx |= c.apic_id << 24;
      if ((s.cr4 & cr4::OSXSAVE) != 0) r.ecx |= 1u << 27;
      if (!apic_enabled) r.edx &= ~kApicBit;
      break;
    case 7:
      if (subleaf == 0 && (s.cr4 & cr4::PKE) != 0) r.ecx |= 1u << 4;
      break;
    case 0xb: r.edx = c.apic_id; break;
    case 0xd:
      if (subleaf == 0 && r.ecx != 0) r.ebx = xsave_bytes(s.xcr0, false);
      if (subleaf == 1 && (r.eax & 0xa) != 0) r.ebx = xsave_bytes(s.xcr0 | s.xss, true);
      break;
    case 0x80000001:
      if (!apic_enabled) r.edx &= ~kApicBit;
      break;
    case 0x8000001e:
      if (r.ebx != 0 || r.ecx != 0 || r.eax != 0 || c.cpuid->has(Feature::topoext)) {
        r.eax = c.apic_id;
        r.ebx |= (c.apic_id >> c.thread_bits) & 0xff;
      }
      break;
    default: break;
  }
}

}  // namespace

// SDM vol. 1 13.4 and table 13-1; the offsets are those of Intel processors.
XsaveComponent xsave_component(unsigned index) {
  switch (index) {
    case 2: return {256, 576};    // AVX
    case 5: return {64, 1088};    // opmask
    case 6: return {512, 1152};   // ZMM_Hi256
    case 7: return {1024, 1664};  // Hi16_ZMM
    case 9: return {8, 2688};     // PKRU
    default: return {0, 0};
  }
}

uint32_t xsave_bytes(uint64_t components, bool compacted) {
  uint32_t bytes = 512 + 64;
  for (unsigned i = 2; i < 10; ++i) {
    if ((components >> i & 1) == 0) continue;
    XsaveComponent x = xsave_component(i);
    if (compacted) {
      bytes += x.size;
    } else if (x.offset + x.size > bytes) {
      bytes = x.offset + x.size;
    }
  }
  return bytes;
}

CpuidRegs query_cpuid(const Core& c, uint32_t leaf, uint32_t subleaf) {
  if (c.cpuid == nullptr) return {0, 0, 0, 0};
  const CpuidTable& t = *c.cpuid;
  bool hypervisor = leaf >= 0x40000000 && leaf < 0x80000000 && find_entry(t, leaf, subleaf) != nullptr;
  uint32_t limit = leaf >= 0x80000000 ? t.max_extended : t.max_basic;
  if (leaf > limit && !hypervisor) {
    // Intel gives the highest basic leaf for whatever is out of range, AMD zeros.
    if (t.vendor != Vendor::Intel) return {0, 0, 0, 0};
    leaf = t.max_basic;
  }
  const Entry* e = find_entry(t, leaf, subleaf);
  CpuidRegs r{0, 0, 0, 0};
  if (e != nullptr) {
    r = e->regs;
  } else if (leaf == 0xb) {
    r.ecx = subleaf & 0xff;  // an invalid level still says which and who
  }
  patch(c, leaf, subleaf, r);
  return r;
}

}  // namespace rhea::cpu
