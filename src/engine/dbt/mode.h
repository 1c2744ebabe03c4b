// The mode half of a block's key: every fact about the vCPU that its code was specialised on.
#pragma once

#include <cstdint>

#include "cpu/core.h"
#include "cpu/state.h"

namespace rhea::dbt {

namespace mode {
inline constexpr uint32_t kCplMask = 3;
inline constexpr uint32_t kCode16 = 0 << 2, kCode32 = 1 << 2, kCode64 = 2 << 2, kCodeMask = 3 << 2;
inline constexpr uint32_t kStack32 = 1 << 4;  // SS.B (64-bit code: always 64)
inline constexpr uint32_t kFlatEs = 1 << 5, kFlatCs = 1 << 6, kFlatSs = 1 << 7,
                          kFlatDs = 1 << 8;    // base 0, limit 4 GiB, usable as usual
inline constexpr uint32_t kFsgsbase = 1 << 9;  // CR4
inline constexpr uint32_t kSingle = 1
                                    << 10;  // one instruction, then back: TF, debugger step, interrupt shadow
inline constexpr uint32_t kSmapAc = 1 << 11;  // supervisor with SMAP on and AC set: a TLB bank of its own
inline constexpr uint32_t kEm = 1 << 12, kTs = 1 << 13, kOsfxsr = 1 << 14, kAvxOk = 1 << 15,
                          kAvx512Ok = 1 << 16;
inline constexpr uint32_t kAlignCheck = 1 << 17;  // CR0.AM, EFLAGS.AC, CPL 3
inline constexpr uint32_t kProtected = 1 << 18, kVm86 = 1 << 19;
inline constexpr uint32_t kTsd = 1 << 20, kPke = 1 << 24, kSmap = 1 << 25;  // CR4
inline constexpr uint32_t kWatch = 1 << 21;      // watchpoints are armed: every access is checked
inline constexpr uint32_t kDebug = 1 << 22;      // breakpoints are armed: blocks are not linked
inline constexpr uint32_t kUngrouped = 1 << 23;  // block variant: every access is checked alone
}  // namespace mode

// TLB banks, one for each kind of rights a data access can have.
enum Bank : uint8_t { kBankUser, kBankKernel, kBankKernelAc, kBanks };

inline Bank bank_of(uint32_t m) {
  if ((m & mode::kCplMask) == 3) return kBankUser;
  return (m & mode::kSmapAc) != 0 ? kBankKernelAc : kBankKernel;
}
inline unsigned code_bits_of(uint32_t m) {
  uint32_t c = m & mode::kCodeMask;
  return c == mode::kCode64 ? 64 : c == mode::kCode32 ? 32 : 16;
}
inline bool is64(uint32_t m) {
  return (m & mode::kCodeMask) == mode::kCode64;
}

// Whether the mode vouches for accesses through this segment: base 0, nothing to check.
inline bool flat_in_mode(uint32_t m, unsigned seg) {
  if (is64(m)) return seg != cpu::FS && seg != cpu::GS;
  switch (seg) {
    case cpu::ES: return (m & mode::kFlatEs) != 0;
    case cpu::CS: return (m & mode::kFlatCs) != 0;
    case cpu::SS: return (m & mode::kFlatSs) != 0;
    case cpu::DS: return (m & mode::kFlatDs) != 0;
    default: return false;
  }
}

// Flat as translated code relies on it: present writable (or for CS readable) segment, base 0, limit 4 GiB.
inline bool flat_segment(const cpu::Segment& s, bool code) {
  using namespace cpu::attr;
  if (s.base != 0 || s.limit != 0xffffffff || (s.attr & (kUnusable | kPresent | kS)) != (kPresent | kS))
    return false;
  if (code) return (s.attr & (kCode | kReadable)) == (kCode | kReadable);
  return (s.attr & (kCode | kExpandDown | kWritable)) == kWritable;
}

// The control registers as last looked at, and their part of the mode.
struct ControlMode {
  uint64_t cr0, cr4, xcr0;
  uint32_t mode;
};
uint32_t compute_mode(const cpu::Core& c, bool single, ControlMode& seen);

}  // namespace rhea::dbt
