#include "engine/dbt/mode.h"

namespace rhea::dbt {

static uint32_t segment_mode(const cpu::CpuState& s) {
  using namespace mode;
  if (s.code64()) return kCode64 | kFlatEs | kFlatCs | kFlatSs | kFlatDs;
  uint32_t m = (s.seg[cpu::CS].attr & cpu::attr::kBig) != 0 ? kCode32 : kCode16;
  if ((s.seg[cpu::SS].attr & cpu::attr::kBig) != 0) m |= kStack32;
  if (flat_segment(s.seg[cpu::CS], true)) m |= kFlatCs;
  if (flat_segment(s.seg[cpu::ES], false)) m |= kFlatEs;
  if (flat_segment(s.seg[cpu::SS], false)) m |= kFlatSs;
  if (flat_segment(s.seg[cpu::DS], false)) m |= kFlatDs;
  return m;
}

// What follows from CR0, CR4 and XCR0 alone.
static uint32_t control_mode(uint64_t cr0, uint64_t cr4, uint64_t xcr0) {
  using namespace mode;
  uint32_t m = 0;
  if ((cr0 & cpu::cr0::EM) != 0) m |= kEm;
  if ((cr0 & cpu::cr0::TS) != 0) m |= kTs;
  if ((cr4 & cpu::cr4::OSFXSR) != 0) m |= kOsfxsr;
  if ((cr4 & cpu::cr4::FSGSBASE) != 0) m |= kFsgsbase;
  if ((cr4 & cpu::cr4::TSD) != 0) m |= kTsd;
  if ((cr4 & cpu::cr4::PKE) != 0) m |= kPke;
  if ((cr4 & cpu::cr4::SMAP) != 0) m |= kSmap;
  bool xsave_on = (cr4 & cpu::cr4::OSXSAVE) != 0;
  if (xsave_on && (xcr0 & 6) == 6) m |= kAvxOk;
  if (xsave_on && (xcr0 & 0xe6) == 0xe6) m |= kAvx512Ok;
  if ((cr0 & cpu::cr0::PE) != 0) m |= kProtected;
  return m;
}

uint32_t compute_mode(const cpu::Core& c, bool single, ControlMode& seen) {
  using namespace mode;
  const cpu::CpuState& s = c.s;
  if (s.cr0 != seen.cr0 || s.cr4 != seen.cr4 || s.xcr0 != seen.xcr0) [[unlikely]]
    seen = {s.cr0, s.cr4, s.xcr0, control_mode(s.cr0, s.cr4, s.xcr0)};
  uint32_t m = segment_mode(s) | (s.cpl & kCplMask) | seen.mode;
  if (single) m |= kSingle;
  if ((s.system_flags & (cpu::rflags::AC | cpu::rflags::VM)) == 0) [[likely]]
    return m;
  if (s.vm86()) m |= kVm86;
  if ((s.system_flags & cpu::rflags::AC) == 0) return m;
  if (s.cpl != 3 && (s.cr4 & cpu::cr4::SMAP) != 0) m |= kSmapAc;
  if (s.cpl == 3 && (s.cr0 & cpu::cr0::AM) != 0) m |= kAlignCheck;
  return m;
}

}  // namespace rhea::dbt
