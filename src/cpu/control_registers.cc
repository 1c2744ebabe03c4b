// Control registers, EFER and XCR0. SDM vol. 2 "MOV CRn", "XSETBV", vol. 3A 2.5, 2.6, 4.1, 4.10.4, 9.8.5.
//
// What flushes: a change of CR0.PG or CR0.WP, of CR4.PAE/PSE/PGE/LA57/SMEP/SMAP/PKE/PCIDE, of EFER.NXE, and CR3
// without the keep bit (its own PCID only). Everything that code or accesses depend on is told by mode_changed; a
// CR3 write that keeps its PCID's translations is told by mode_changed alone, Core::s.cr3 being the new one.
// Missing: CET, protection keys for supervisor pages.
#include "cpu/control_transfer.h"
#include "cpu/cpuid.h"
#include "cpu/registers.h"
#include "cpu/transfer.h"

namespace rhea::cpu {
namespace {

constexpr uint64_t kCr3Keep = 1ull << 63;
constexpr uint64_t kPcidMask = 0xfff;

bool supervisor(Core& c) { return c.s.cpl == 0 || c.raise(vec::GP, 0); }

// Bits that no physical address of this guest has, below bit 52.
uint64_t beyond_physical(const Core& c) { return ~((1ull << c.phys_bits) - 1); }

bool enter_paging(Core& c, uint64_t& new_efer) {
  if ((c.s.efer & efer::LME) != 0) {
    uint32_t tr_type = c.s.seg[TR].attr & attr::kTypeMask;
    bool tss16 = c.s.seg[TR].usable() && (tr_type == kTss16 || tr_type == kTss16Busy);
    if ((c.s.cr4 & cr4::PAE) == 0 || (c.s.seg[CS].attr & attr::kLong) != 0 || tss16) return c.raise(vec::GP, 0);
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

// The CR4 bits this guest's CPUID gives it.
uint64_t cr4_allowed(const Core& c) {
  CpuidRegs basic = query_cpuid(c, 1, 0);
  CpuidRegs ext = query_cpuid(c, 7, 0);
  uint64_t allowed = cr4::TSD | cr4::PCE | cr4::MCE;
  auto give = [&](uint32_t reg, unsigned bit, uint64_t bits) {
    if ((reg >> bit & 1) != 0) allowed |= bits;
  };
  give(basic.edx, 1, cr4::VME | cr4::PVI);
  give(basic.edx, 2, cr4::DE);
  give(basic.edx, 3, cr4::PSE);
  give(basic.edx, 6, cr4::PAE);
  give(basic.edx, 13, cr4::PGE);
  give(basic.edx, 24, cr4::OSFXSR);
  give(basic.edx, 25, cr4::OSXMMEXCPT);
  give(basic.ecx, 17, cr4::PCIDE);
  give(basic.ecx, 26, cr4::OSXSAVE);
  give(ext.ebx, 0, cr4::FSGSBASE);
  give(ext.ebx, 7, cr4::SMEP);
  give(ext.ebx, 20, cr4::SMAP);
  give(ext.ecx, 2, cr4::UMIP);
  give(ext.ecx, 3, cr4::PKE);
  give(ext.ecx, 16, cr4::LA57);
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
  constexpr uint64_t kDefined = cr0::PE | cr0::MP | cr0::EM | cr0::TS | cr0::NE | cr0::WP | cr0::AM | cr0::NW | cr0::CD |
                                cr0::PG;
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
  constexpr uint64_t kFlushes = cr4::PAE | cr4::PSE | cr4::PGE | cr4::LA57 | cr4::SMEP | cr4::SMAP | cr4::PKE | cr4::PCIDE;
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
  if (c.apic != nullptr) c.cold([](void* p) { static_cast<TprArg*>(p)->tpr = static_cast<TprArg*>(p)->apic->tpr(); }, &arg);
  value = arg.tpr >> 4;
  return true;
}

bool write_efer(Core& c, uint64_t value) {
  if (!supervisor(c)) return false;
  CpuidRegs ext = query_cpuid(c, 0x80000001, 0);
  uint64_t allowed = 0;
  if ((ext.edx >> 11 & 1) != 0) allowed |= efer::SCE;
  if ((ext.edx >> 20 & 1) != 0) allowed |= efer::NXE;
  if ((ext.edx >> 25 & 1) != 0) allowed |= efer::FFXSR;
  if ((ext.edx >> 29 & 1) != 0) allowed |= efer::LME | efer::LMA;
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
  bool wrong = (value & ~allowed) != 0 || (value & kX87) == 0 || ((value & kAvx) != 0 && (value & kSse) == 0) ||
               ((value & kAvx512) != 0 && (value & kAvx) == 0) || split(kBound) || split(kAvx512) || split(kTile);
  if (wrong) return c.raise(vec::GP, 0);
  c.s.xcr0 = value;
  told(c);
  return true;
}

}  // namespace rhea::cpu
