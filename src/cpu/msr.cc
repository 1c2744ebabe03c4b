// Model-specific registers: RDMSR, WRMSR and the TSC. SDM vol. 4 (Intel), APM vol. 2 appendix A (AMD).
//
// One table: a register is plain state with a mask of writable bits, a constant, a register whose writes have
// no effect here and which reads 0, or a pair of functions. Changing a bit outside the mask is #GP(0), and so
// is a register that is not in the table or not in the CPU model. Missing: performance monitoring,
// last-branch records, power management beyond what makes guests boot. General registers only.
#include <cstddef>

#include "cpu/cpuid.h"
#include "cpu/msr_cold.h"
#include "cpu/paging.h"
#include "cpu/registers.h"

namespace rhea::cpu {

namespace {

enum class Rule : uint8_t { Plain, Canonical, Constant, Ignored, Function };
enum class Who : uint8_t { All, Intel, Amd };

using ReadFn = bool (*)(Core&, uint32_t, uint64_t&);
using WriteFn = bool (*)(Core&, uint32_t, uint64_t);

constexpr Feature kAlways = Feature::kCount;
constexpr uint64_t kAll = ~uint64_t{0};

struct Msr {
  uint32_t first, last;
  Rule rule;
  Who who;
  Feature needs;
  uint16_t offset;  // Plain, Canonical: of the field in CpuState
  uint64_t value;   // Plain: writable bits; Constant: the value
  ReadFn read;
  WriteFn write;
};

bool model_has(const Core& c, Feature f) {
  return f == kAlways || c.cpuid == nullptr || c.cpuid->has(f);
}
bool amd(const Core& c) {
  return c.cpuid != nullptr && c.cpuid->vendor == Vendor::Amd;
}

uint64_t physical_mask(const Core& c) {
  return (uint64_t{1} << c.phys_bits) - 1;
}

// ---- time ----

uint64_t untouched_tsc(const Core& c) {
  if (c.counts_time) return c.counted_time();
  const uint64_t now = __builtin_ia32_rdtsc(), limit = c.tsc_limit.load(std::memory_order_relaxed);
  return scaled_tsc(c, now < limit ? now : limit);
}

void move_tsc(Core& c, uint64_t by) {
  c.s.tsc_offset = static_cast<int64_t>(static_cast<uint64_t>(c.s.tsc_offset) + by);
  // A deadline is a TSC value: its time has moved.
  if (c.apic != nullptr && c.apic->tsc_deadline() != 0) c.apic->set_tsc_deadline(c.apic->tsc_deadline());
}

bool read_tsc(Core& c, uint32_t, uint64_t& value) {
  value = guest_tsc(c);
  return true;
}

// SDM vol. 3B 18.17.3: what a write adds to the TSC is added to TSC_ADJUST too.
bool write_tsc(Core& c, uint32_t, uint64_t value) {
  uint64_t by = value - guest_tsc(c);
  c.s.tsc_adjust += by;
  move_tsc(c, by);
  return true;
}

bool read_tsc_adjust(Core& c, uint32_t, uint64_t& value) {
  value = c.s.tsc_adjust;
  return true;
}

bool write_tsc_adjust(Core& c, uint32_t, uint64_t value) {
  uint64_t by = value - c.s.tsc_adjust;
  c.s.tsc_adjust = value;
  move_tsc(c, by);
  return true;
}

bool read_tsc_deadline(Core& c, uint32_t, uint64_t& value) {
  value = c.apic != nullptr ? c.apic->tsc_deadline() : 0;
  return true;
}

bool write_tsc_deadline(Core& c, uint32_t, uint64_t value) {
  if (c.apic != nullptr) c.apic->set_tsc_deadline(value);
  return true;
}

// ---- local APIC ----

bool read_apic(Core& c, uint32_t index, uint64_t& value) {
  if (c.apic != nullptr) return c.apic->read_msr(index, value);
  if (index != 0x1b) return false;
  value = c.s.apic_base;
  return true;
}

bool write_apic(Core& c, uint32_t index, uint64_t value) {
  return c.apic != nullptr && c.apic->write_msr(index, value);
}

// ---- memory types ----

// 12.11.1: UC, WC, WT, WP, WB; the PAT also knows UC-.
bool memory_type(uint64_t t, bool pat) {
  return t <= 7 && ((pat ? 0xf3 : 0x73) >> t & 1) != 0;
}

bool memory_types(uint64_t value, bool pat) {
  for (unsigned i = 0; i < 8; ++i) {
    if (!memory_type(value >> (8 * i) & 0xff, pat)) return false;
  }
  return true;
}

bool read_pat(Core& c, uint32_t, uint64_t& value) {
  value = c.s.pat;
  return true;
}

bool write_pat(Core& c, uint32_t, uint64_t value) {
  if (!memory_types(value, true)) return false;
  c.s.pat = value;
  return true;
}

bool read_mtrr_def(Core& c, uint32_t, uint64_t& value) {
  value = c.s.mtrr.def_type;
  return true;
}

bool write_mtrr_def(Core& c, uint32_t, uint64_t value) {
  if ((value & ~uint64_t{0xcff}) != 0 || !memory_type(value & 0xff, false)) return false;
  c.s.mtrr.def_type = value;
  return true;
}

bool read_mtrr_variable(Core& c, uint32_t index, uint64_t& value) {
  const auto& pair = c.s.mtrr.variable[(index - 0x200) / 2];
  value = (index & 1) != 0 ? pair.mask : pair.base;
  return true;
}

bool write_mtrr_variable(Core& c, uint32_t index, uint64_t value) {
  bool is_mask = (index & 1) != 0;
  uint64_t reserved = ~physical_mask(c) | (is_mask ? 0x7ff : 0xf00);
  if ((value & reserved) != 0 || (!is_mask && !memory_type(value & 0xff, false))) return false;
  auto& pair = c.s.mtrr.variable[(index - 0x200) / 2];
  (is_mask ? pair.mask : pair.base) = value;
  return true;
}

// 250H, 258H, 259H, 268H-26FH are entries 0 to 10.
unsigned fixed_mtrr(uint32_t index) {
  return index == 0x250 ? 0 : index < 0x260 ? index - 0x257 : index - 0x265;
}

bool read_mtrr_fixed(Core& c, uint32_t index, uint64_t& value) {
  value = c.s.mtrr.fixed[fixed_mtrr(index)];
  return true;
}

bool write_mtrr_fixed(Core& c, uint32_t index, uint64_t value) {
  if (!memory_types(value, false)) return false;
  c.s.mtrr.fixed[fixed_mtrr(index)] = value;
  return true;
}

// ---- machine check ----

bool read_bank(Core& c, uint32_t index, uint64_t& value) {
  value = c.s.mc_banks[(index - 0x400) / 4][index & 3];
  return true;
}

// 16.3.2: CTL takes any mask; STATUS, ADDR and MISC are cleared by writing 0 and take nothing else.
bool write_bank(Core& c, uint32_t index, uint64_t value) {
  unsigned kind = index & 3;
  if (kind != 0 && value != 0) return false;
  c.s.mc_banks[(index - 0x400) / 4][kind] = value;
  return true;
}

// ---- segments, system calls, features ----

bool read_base(Core& c, uint32_t index, uint64_t& value) {
  value = c.s.seg[index == 0xc0000100 ? FS : GS].base;
  return true;
}

bool write_base(Core& c, uint32_t index, uint64_t value) {
  if (!canonical(c, value)) return false;
  c.s.seg[index == 0xc0000100 ? FS : GS].base = value;
  return true;
}

bool read_efer(Core& c, uint32_t, uint64_t& value) {
  value = c.s.efer;
  return true;
}

bool write_efer_msr(Core& c, uint32_t, uint64_t value) {
  return write_efer(c, value);
}

bool read_tsc_aux(Core& c, uint32_t, uint64_t& value) {
  value = c.s.tsc_aux;
  return model_has(c, Feature::rdtscp) || model_has(c, Feature::rdpid);
}

bool write_tsc_aux(Core& c, uint32_t, uint64_t value) {
  if (!model_has(c, Feature::rdtscp) && !model_has(c, Feature::rdpid)) return false;
  if (!amd(c) && value > 0xffffffff) return false;
  c.s.tsc_aux = value & 0xffffffff;
  return true;
}

bool read_xss(Core& c, uint32_t, uint64_t& value) {
  value = c.s.xss;
  return true;
}

bool write_xss(Core& c, uint32_t, uint64_t value) {
  if ((value & ~(c.cpuid != nullptr ? c.cpuid->xss_allowed : 0)) != 0) return false;
  c.s.xss = value;
  return true;
}

uint64_t spec_ctrl_bits(const Core& c) {
  uint64_t bits = 0;
  if (model_has(c, Feature::spec_ctrl) || model_has(c, Feature::ibrs)) bits |= 1;
  if (model_has(c, Feature::stibp) || model_has(c, Feature::amd_stibp)) bits |= 2;
  if (model_has(c, Feature::ssbd) || model_has(c, Feature::amd_ssbd)) bits |= 4;
  // Either of the first two brings STIBP's bit, which may be written where it has no effect.
  return (bits & 1) != 0 ? bits | 2 : bits;
}

bool read_spec_ctrl(Core& c, uint32_t, uint64_t& value) {
  value = c.s.spec_ctrl;
  return spec_ctrl_bits(c) != 0;
}

bool write_spec_ctrl(Core& c, uint32_t, uint64_t value) {
  uint64_t bits = spec_ctrl_bits(c);
  if (bits == 0 || (value & ~bits) != 0) return false;
  c.s.spec_ctrl = value;
  return true;
}

bool write_only(Core&, uint32_t, uint64_t&) {
  return false;
}

// IBPB: every switch of the guest's already is one for our own tables.
bool write_pred_cmd(Core& c, uint32_t, uint64_t value) {
  return (model_has(c, Feature::spec_ctrl) || model_has(c, Feature::ibpb)) && (value & ~uint64_t{1}) == 0;
}

bool read_arch_capabilities(Core& c, uint32_t, uint64_t& value) {
  value = c.cpuid != nullptr ? c.cpuid->arch_capabilities : 0;
  return true;
}

bool read_only(Core&, uint32_t, uint64_t) {
  return false;
}

// The revision in bits 63:32 on Intel after writing 0 and CPUID; AMD's own number in the low half.
bool read_microcode(Core& c, uint32_t, uint64_t& value) {
  value = amd(c) ? 0x01000065 : c.s.bios_sign_id != 0 ? c.s.bios_sign_id : uint64_t{1} << 32;
  return true;
}

bool drop(Core&, uint32_t, uint64_t) {
  return true;
}

bool read_smbase(Core& c, uint32_t, uint64_t& value) {
  value = c.s.smbase;
  return c.s.in_smm != 0;
}

// BTS and PEBS unavailable (bits 11, 12).
bool read_misc_enable(Core& c, uint32_t, uint64_t& value) {
  value = c.s.misc_enable | 0x1800;
  return true;
}

bool write_misc_enable(Core& c, uint32_t, uint64_t value) {
  constexpr uint64_t kWritable = 1 | 1 << 3 | 1 << 16 | 1 << 18 | 1 << 22 | 1 << 23 | uint64_t{1} << 34;
  if (((value ^ c.s.misc_enable) & ~(kWritable | 0x1800)) != 0) return false;
  c.s.misc_enable = value & ~uint64_t{0x1800};
  return true;
}

// ---- the table, sorted by index ----

#define AT(field) static_cast<uint16_t>(offsetof(CpuState, field))
#define PLAIN(index, who, needs, field, mask) \
  { index, index, Rule::Plain, Who::who, needs, AT(field), mask, nullptr, nullptr }
#define CANONICAL(index, needs, field) \
  { index, index, Rule::Canonical, Who::All, needs, AT(field), 0, nullptr, nullptr }
#define CONSTANT(index, who, value) \
  { index, index, Rule::Constant, Who::who, kAlways, 0, value, nullptr, nullptr }
#define IGNORED(first, last, who) \
  { first, last, Rule::Ignored, Who::who, kAlways, 0, 0, nullptr, nullptr }
#define CALL(first, last, who, needs, read, write) \
  { first, last, Rule::Function, Who::who, needs, 0, 0, read, write }

constexpr Msr kMsrs[] = {
    IGNORED(0x0, 0x1, All),                                       // P5_MC_ADDR, P5_MC_TYPE
    CALL(0x10, 0x10, All, kAlways, read_tsc, write_tsc),          // TSC
    CONSTANT(0x17, Intel, 0),                                     // PLATFORM_ID
    CALL(0x1b, 0x1b, All, Feature::apic, read_apic, write_apic),  // APIC_BASE
    IGNORED(0x2a, 0x2a, Intel),                                   // EBL_CR_POWERON
    CONSTANT(0x34, Intel, 0),                                     // SMI_COUNT
    CONSTANT(0x3a, Intel, 1),                                     // FEATURE_CONTROL: locked, nothing on
    CALL(0x3b, 0x3b, All, Feature::tsc_adjust, read_tsc_adjust, write_tsc_adjust),
    CALL(0x48, 0x48, All, kAlways, read_spec_ctrl, write_spec_ctrl),  // SPEC_CTRL
    CALL(0x49, 0x49, All, kAlways, write_only, write_pred_cmd),       // PRED_CMD
    CALL(0x79, 0x79, Intel, kAlways, write_only, drop),               // BIOS_UPDT_TRIG
    CALL(0x8b, 0x8b, All, kAlways, read_microcode, drop),             // BIOS_SIGN_ID, PATCH_LEVEL
    CALL(0x9e, 0x9e, Intel, kAlways, read_smbase, read_only),         // SMBASE
    IGNORED(0xc1, 0xc2, Intel),                                       // PMC0, PMC1
    CONSTANT(0xce, Intel, 0),                                         // PLATFORM_INFO
    CONSTANT(0xfe, All, 0x508),                                       // MTRRCAP: WC, fixed, 8 variable
    CALL(0x10a, 0x10a, All, Feature::arch_capabilities, read_arch_capabilities, read_only),
    CONSTANT(0x11e, Intel, 0xbe702111),  // BBL_CR_CTL3: L2 present and on
    PLAIN(0x174, All, Feature::sep, sysenter_cs, 0xffffffff),
    CANONICAL(0x175, Feature::sep, sysenter_esp),
    CANONICAL(0x176, Feature::sep, sysenter_eip),
    CONSTANT(0x179, All, 0x10a),  // MCG_CAP: 10 banks, MCG_CTL
    PLAIN(0x17a, All, Feature::mca, mcg_status, 7),
    PLAIN(0x17b, All, Feature::mca, mcg_ctl, kAll),
    IGNORED(0x186, 0x187, Intel),                      // PERFEVTSEL0-1
    CONSTANT(0x198, Intel, uint64_t{4} << 40 | 1000),  // PERF_STATUS
    IGNORED(0x19a, 0x19c, All),                        // CLOCK_MODULATION, THERM_*
    CALL(0x1a0, 0x1a0, Intel, kAlways, read_misc_enable, write_misc_enable),
    PLAIN(0x1d9, All, kAlways, debugctl, 3),  // DEBUGCTL: LBR, BTF
    CONSTANT(0x1db, All, 0),                  // last branch and exception records
    CONSTANT(0x1dc, All, 0),
    CONSTANT(0x1dd, All, 0),
    CONSTANT(0x1de, All, 0),
    CALL(0x200, 0x20f, All, Feature::mtrr, read_mtrr_variable, write_mtrr_variable),
    CALL(0x250, 0x250, All, Feature::mtrr, read_mtrr_fixed, write_mtrr_fixed),
    CALL(0x258, 0x259, All, Feature::mtrr, read_mtrr_fixed, write_mtrr_fixed),
    CALL(0x268, 0x26f, All, Feature::mtrr, read_mtrr_fixed, write_mtrr_fixed),
    CALL(0x277, 0x277, All, Feature::pat, read_pat, write_pat),
    CALL(0x2ff, 0x2ff, All, Feature::mtrr, read_mtrr_def, write_mtrr_def),
    CALL(0x400, 0x427, All, Feature::mca, read_bank, write_bank),  // MC0_CTL to MC9_MISC
    CALL(0x6e0, 0x6e0, All, Feature::tsc_deadline, read_tsc_deadline, write_tsc_deadline),
    CALL(0x800, 0x8ff, All, Feature::x2apic, read_apic, write_apic),
    CALL(0xda0, 0xda0, All, Feature::xsaves, read_xss, write_xss),
    CALL(0xc0000080, 0xc0000080, All, kAlways, read_efer, write_efer_msr),
    PLAIN(0xc0000081, All, Feature::syscall, star, kAll),
    CANONICAL(0xc0000082, Feature::lm, lstar),
    CANONICAL(0xc0000083, Feature::lm, cstar),
    PLAIN(0xc0000084, All, Feature::syscall, sfmask, kAll),
    CALL(0xc0000100, 0xc0000101, All, Feature::lm, read_base, write_base),
    CANONICAL(0xc0000102, Feature::lm, kernel_gs_base),
    CALL(0xc0000103, 0xc0000103, All, kAlways, read_tsc_aux, write_tsc_aux),
    IGNORED(0xc0010000, 0xc0010007, Amd),  // PERF_CTL, PERF_CTR
    IGNORED(0xc0010010, 0xc0010010, Amd),  // SYSCFG
    CALL(
        0xc0010015, 0xc0010015, Amd, kAlways,
        [](Core&, uint32_t, uint64_t& v) {
          v = 1 << 24;
          return true;
        },
        drop),                             // HWCR
    IGNORED(0xc001001a, 0xc001001a, Amd),  // TOP_MEM
    IGNORED(0xc001001d, 0xc001001d, Amd),  // TOP_MEM2
    IGNORED(0xc001001f, 0xc0010020, Amd),  // NB_CFG, PATCH_LOADER
    IGNORED(0xc0010044, 0xc001004f, Amd),  // MCi_CTL_MASK
    IGNORED(0xc0010055, 0xc0010055, Amd),  // INT_PENDING_MSG
    IGNORED(0xc0010058, 0xc0010058, Amd),  // MMIO_CONF_BASE
    IGNORED(0xc0010112, 0xc0010114, Amd),  // SMM_ADDR, SMM_MASK, VM_CR
    PLAIN(0xc001011f, Amd, Feature::virt_ssbd, virt_ssbd, 4),
    {0xc0010140, 0xc0010141, Rule::Ignored, Who::Amd, Feature::osvw, 0, 0, nullptr,
     nullptr},                             // OSVW: no errata
    IGNORED(0xc0011020, 0xc0011023, Amd),  // LS_CFG, IC_CFG, DC_CFG, BU_CFG
    CALL(
        0xc0011029, 0xc0011029, Amd, kAlways,
        [](Core&, uint32_t, uint64_t& v) {
          v = 2;
          return true;
        },
        drop),                             // DE_CFG: LFENCE waits
    IGNORED(0xc001102a, 0xc001102a, Amd),  // BU_CFG2
};
#undef AT
#undef PLAIN
#undef CANONICAL
#undef CONSTANT
#undef IGNORED
#undef CALL

consteval bool sorted() {
  for (size_t i = 1; i < sizeof(kMsrs) / sizeof(kMsrs[0]); ++i) {
    if (kMsrs[i].first <= kMsrs[i - 1].last) return false;
  }
  return true;
}
static_assert(sorted());

const Msr* find_msr(const Core& c, uint32_t index) {
  size_t low = 0;
  size_t high = sizeof(kMsrs) / sizeof(kMsrs[0]);
  while (low < high) {
    size_t middle = (low + high) / 2;
    const Msr& m = kMsrs[middle];
    if (index < m.first) {
      high = middle;
    } else if (index > m.last) {
      low = middle + 1;
    } else {
      if ((m.who == Who::Amd && !amd(c)) || (m.who == Who::Intel && amd(c)) || !model_has(c, m.needs))
        return nullptr;
      return &m;
    }
  }
  return nullptr;
}

uint64_t& field(Core& c, const Msr& m) {
  // SAFETY: offset comes from offsetof a uint64_t member of CpuState.
  return *reinterpret_cast<uint64_t*>(reinterpret_cast<char*>(&c.s) + m.offset);
}

bool read_row(Core& c, const Msr& m, uint32_t index, uint64_t& value) {
  switch (m.rule) {
    case Rule::Plain:
    case Rule::Canonical: value = field(c, m); return true;
    case Rule::Constant: value = m.value; return true;
    case Rule::Ignored: value = 0; return true;
    default: return m.read(c, index, value);
  }
}

bool write_row(Core& c, const Msr& m, uint32_t index, uint64_t value) {
  switch (m.rule) {
    case Rule::Plain:
      if (((value ^ field(c, m)) & ~m.value) != 0) return false;
      field(c, m) = value;
      return true;
    case Rule::Canonical:
      if (!canonical(c, value)) return false;
      field(c, m) = value;
      return true;
    case Rule::Constant: return false;
    case Rule::Ignored: return true;
    default: return m.write(c, index, value);
  }
}

bool refuse(Core& c, uint32_t index, bool write, bool unknown, uint64_t value) {
  msr_cold::ReportArg arg{index, write, unknown, value, c.index};
  c.cold(msr_cold::report, &arg);
  return c.raise(vec::GP, 0);
}

}  // namespace

uint64_t scaled_tsc(const Core& c, uint64_t host_tsc) {
  if (c.tsc_ratio == 0) [[likely]]
    return host_tsc;
  return static_cast<uint64_t>(static_cast<unsigned __int128>(host_tsc) * c.tsc_ratio >> 32);
}

uint64_t guest_tsc(const Core& c) {
  return untouched_tsc(c) + static_cast<uint64_t>(c.s.tsc_offset);
}

bool read_msr(Core& c, uint32_t index, uint64_t& value) {
  const Msr* m = find_msr(c, index);
  if (m == nullptr) [[unlikely]]
    return refuse(c, index, false, true, 0);
  if (!read_row(c, *m, index, value)) [[unlikely]]
    return refuse(c, index, false, false, 0);
  return true;
}

bool write_msr(Core& c, uint32_t index, uint64_t value) {
  const Msr* m = find_msr(c, index);
  if (m == nullptr) [[unlikely]]
    return refuse(c, index, true, true, value);
  if (!write_row(c, *m, index, value)) [[unlikely]]
    return refuse(c, index, true, false, value);
  return true;
}

}  // namespace rhea::cpu
