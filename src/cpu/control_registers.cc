// Control registers, EFER and XCR0. SDM vol. 2 "MOV CRn", "XSETBV", vol. 3A 2.5, 2.6, 4.1, 4.10.4, 9.8.5.
//
// What flushes: a change of CR0.PG or CR0.WP, of CR4.PAE/PSE/PGE/LA57/SMEP/SMAP/PKE/PCIDE, of EFER.NXE, and
// CR3 without the keep bit (its own PCID only). Everything that code or accesses depend on is told by
// mode_changed; a CR3 write that keeps its PCID's translations is told by mode_changed alone, Core::s.cr3
// being the new one. Missing: CET, protection keys for supervisor pages.
#include "cpu/control_transfer.h"
#include "cpu/cpuid.h"
#include "cpu/registers.h"
#include "cpu/transfer.h"

namespace rhea::cpu {
namespace {

constexpr uint64_t kCr3Keep = 1ull << 63;
constexpr uint64_t kPcidMask = 0xfff;

bool supervisor(Core& c) {
  return c.s.cpl == 0 || c.raise(vec::GP, 0);
}

// Bits that no physical address of this guest has, below bit 52.
uint64_t beyond_physical(const Core& c) {
  return ~((1ull << c.phys_bits) - 1);
}

bool enter_paging(Core& c, uint64_t& new_efer) {
  if ((c.s.efer & efer::LME) != 0) {
    uint32_t tr_type = c.s.seg[TR].attr & attr::kTypeMask;
    bool tss16 = c.s.seg[TR].usable() && (tr_type == kTss16 || tr_type == kTss16Busy);
    if ((c.s.cr4 & cr4::PAE) == 0 || (c.s.seg[CS].attr & attr::kLong) != 0 || tss16)
      return c.raise(vec::GP, 0);
    new_efer |= efer::LMA;
    return true;
  }
  return (c.s.cr4 & cr4::PAE) == 0 || load_pdptes(c, c.s.cr3);
}

bool leave_paging(Core& c, uint64_t& new_efer) {
  if (c.s.code64() || (c.s.cr4 & cr4::PCIDE) != 0) return c.raise(vec::GP, 0);
  new_efer &= ~efer::LMA;
  return true;
}

bool has(const Core& c, Feature f) {
  return c.cpuid != nullptr && c.cpuid->has(f);
}

// The CR4 bits this guest's CPUID gives it.
uint64_t cr4_allowed(const Core& c) {
  struct Given {
    Feature feature;
    uint64_t bits;
  };
  static constexpr Given kGiven[] = {
      {Feature::vme, cr4::VME | cr4::PVI},
      {Feature::de, cr4::DE},
      {Feature::pse, cr4::PSE},
      {Feature::pae, cr4::PAE},
      {Feature::pge, cr4::PGE},
      {Feature::fxsr, cr4::OSFXSR},
      {Feature::sse, cr4::OSXMMEXCPT},
      {Feature::pcid, cr4::PCIDE},
      {Feature::xsave, cr4::OSXSAVE},
      {Feature::smep, cr4::SMEP},
      {Feature::smap, cr4::SMAP},
      {Feature::fsgsbase, cr4::FSGSBASE},
      {Feature::umip, cr4::UMIP},
      {Feature::pku, cr4::PKE},
      {Feature::la57, cr4::LA57},
  };
  uint64_t allowed = cr4::TSD | cr4::PCE | cr4::MCE;
  for (const Given& g : kGiven) {
    if (has(c, g.feature)) allowed |= g.bits;
  }
  return allowed;
}

bool check_cr4(Core& c, uint64_t value) {
  uint64_t changed = value ^ c.s.cr4;
  uint64_t set = value & changed;
  if (set != 0 && (set & ~cr4_allowed(c)) != 0) return c.raise(vec::GP, 0);
  if (c.s.long_mode()) {
    if ((value & cr4::PAE) == 0 || (changed & cr4::LA57) != 0) return c.raise(vec::GP, 0);
  } else if ((value & cr4::PCIDE) != 0) {
    return c.raise(vec::GP, 0);
  }
  if ((set & cr4::PCIDE) != 0 && (c.s.cr3 & kPcidMask) != 0) return c.raise(vec::GP, 0);
  constexpr uint64_t kReloads = cr4::PAE | cr4::PGE | cr4::PSE | cr4::SMEP;
  bool pae_paging = (c.s.cr0 & cr0::PG) != 0 && (value & cr4::PAE) != 0 && !c.s.long_mode();
  return !pae_paging || (changed & kReloads) == 0 || load_pdptes(c, c.s.cr3);
}

// For Core::cold(): the APIC is ordinary C++.
struct TprArg {
  InterruptController* apic;
  uint8_t tpr;
};

}  // namespace

bool write_cr0(Core& c, uint64_t value) {
  constexpr uint64_t kDefined =
      cr0::PE | cr0::MP | cr0::EM | cr0::TS | cr0::NE | cr0::WP | cr0::AM | cr0::NW | cr0::CD | cr0::PG;
  if (!supervisor(c)) return false;
  if (value >> 32 != 0) return c.raise(vec::GP, 0);
  value = (value & kDefined) | cr0::ET;
  if ((value & cr0::PG) != 0 && (value & cr0::PE) == 0) return c.raise(vec::GP, 0);
  if ((value & cr0::NW) != 0 && (value & cr0::CD) == 0) return c.raise(vec::GP, 0);
  uint64_t changed = value ^ c.s.cr0;
  uint64_t new_efer = c.s.efer;
  if ((changed & cr0::PG) != 0) {
    if ((value & cr0::PG) != 0 ? !enter_paging(c, new_efer) : !leave_paging(c, new_efer)) return false;
  } else if ((changed & (cr0::CD | cr0::NW)) != 0 && (value & cr0::PG) != 0 && (c.s.cr4 & cr4::PAE) != 0 &&
             !c.s.long_mode() && !load_pdptes(c, c.s.cr3)) {
    return false;
  }
  c.s.cr0 = value;
  c.s.efer = new_efer;
  if ((changed & (cr0::PG | cr0::WP)) != 0) c.hooks->flush_tlb(c, true);
  if ((changed & ~(cr0::CD | cr0::NW)) != 0) told(c);
  return true;
}

bool write_cr3(Core& c, uint64_t value) {
  if (!supervisor(c)) return false;
  bool pcid = (c.s.cr4 & cr4::PCIDE) != 0;
  bool keep = pcid && (value & kCr3Keep) != 0;
  if (pcid) value &= ~kCr3Keep;
  if (c.s.long_mode()) {
    if ((value & beyond_physical(c)) != 0) return c.raise(vec::GP, 0);
  } else {
    value &= 0xffffffffu;
    bool pae = (c.s.cr0 & cr0::PG) != 0 && (c.s.cr4 & cr4::PAE) != 0;
    if (pae && !load_pdptes(c, value)) return false;
  }
  c.s.cr3 = value;
  if (keep) {
    told(c);
  } else {
    c.hooks->flush_tlb(c, false);
  }
  return true;
}

bool write_cr4(Core& c, uint64_t value) {
  if (!supervisor(c) || !check_cr4(c, value)) return false;
  constexpr uint64_t kFlushes =
      cr4::PAE | cr4::PSE | cr4::PGE | cr4::LA57 | cr4::SMEP | cr4::SMAP | cr4::PKE | cr4::PCIDE;
  uint64_t changed = value ^ c.s.cr4;
  c.s.cr4 = value;
  if ((changed & kFlushes) != 0) c.hooks->flush_tlb(c, true);
  if (changed != 0) told(c);
  return true;
}

bool write_cr8(Core& c, uint64_t value) {
  if (!supervisor(c)) return false;
  if (value > 15) return c.raise(vec::GP, 0);
  if (c.apic == nullptr) return true;
  TprArg arg{c.apic, static_cast<uint8_t>(value << 4)};
  c.cold([](void* p) { static_cast<TprArg*>(p)->apic->set_tpr(static_cast<TprArg*>(p)->tpr); }, &arg);
  return true;
}

bool read_cr8(Core& c, uint64_t& value) {
  if (!supervisor(c)) return false;
  TprArg arg{c.apic, 0};
  if (c.apic != nullptr)
    c.cold([](void* p) { static_cast<TprArg*>(p)->tpr = static_cast<TprArg*>(p)->apic->tpr(); }, &arg);
  value = arg.tpr >> 4;
  return true;
}

bool write_efer(Core& c, uint64_t value) {
  if (!supervisor(c)) return false;
  uint64_t allowed = (has(c, Feature::syscall) ? efer::SCE : 0) | (has(c, Feature::nx) ? efer::NXE : 0) |
                     (has(c, Feature::fxsr_opt) ? efer::FFXSR : 0) |
                     (has(c, Feature::lm) ? efer::LME | efer::LMA : 0);
  if ((value & ~allowed) != 0) return c.raise(vec::GP, 0);
  uint64_t changed = value ^ c.s.efer;
  if ((changed & efer::LME) != 0 && (c.s.cr0 & cr0::PG) != 0) return c.raise(vec::GP, 0);
  // LMA follows CR0.PG only; what is written to it is ignored.
  c.s.efer = (value & ~efer::LMA) | (c.s.efer & efer::LMA);
  if ((changed & efer::NXE) != 0) c.hooks->flush_tlb(c, true);
  told(c);
  return true;
}

bool write_xcr0(Core& c, uint64_t value) {
  constexpr uint64_t kX87 = 1, kSse = 2, kAvx = 4, kBound = 0x18, kAvx512 = 0xe0, kTile = 0x60000;
  if (!supervisor(c)) return false;
  uint64_t allowed = c.cpuid != nullptr ? c.cpuid->xcr0_allowed : kX87;
  auto split = [&](uint64_t pair) { return (value & pair) != 0 && (value & pair) != pair; };
  bool wrong =
      (value & ~allowed) != 0 || (value & kX87) == 0 || ((value & kAvx) != 0 && (value & kSse) == 0) ||
      ((value & kAvx512) != 0 && (value & kAvx) == 0) || split(kBound) || split(kAvx512) || split(kTile);
  if (wrong) return c.raise(vec::GP, 0);
  c.s.xcr0 = value;
  told(c);
  return true;
}

}  // namespace rhea::cpu
