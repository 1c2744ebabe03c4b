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

uint32_t compute_mode(const cpu::Core& c, bool single) {
  using namespace mode;
  const cpu::CpuState& s = c.s;
  uint32_t m = segment_mode(s) | (s.cpl & kCplMask);
  if (s.direction_flag != 0) m |= kDf;
  if (single) m |= kSingle;
  bool ac = (s.system_flags & cpu::rflags::AC) != 0;
  if (s.cpl != 3 && ac && (s.cr4 & cpu::cr4::SMAP) != 0) m |= kSmapAc;
  if ((s.cr0 & cpu::cr0::EM) != 0) m |= kEm;
  if ((s.cr0 & cpu::cr0::TS) != 0) m |= kTs;
  if ((s.cr4 & cpu::cr4::OSFXSR) != 0) m |= kOsfxsr;
  bool xsave_on = (s.cr4 & cpu::cr4::OSXSAVE) != 0;
  if (xsave_on && (s.xcr0 & 6) == 6) m |= kAvxOk;
  if (xsave_on && (s.xcr0 & 0xe6) == 0xe6) m |= kAvx512Ok;
  if (s.cpl == 3 && ac && (s.cr0 & cpu::cr0::AM) != 0) m |= kAlignCheck;
  if ((s.cr0 & cpu::cr0::PE) != 0) m |= kProtected;
  if (s.vm86()) m |= kVm86;
  if (!s.protected_mode() || s.cpl <= s.iopl()) m |= kIoplOk;
  return m;
}

}  // namespace rhea::dbt
