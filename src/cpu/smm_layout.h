// Where SMI stores the processor's state, as offsets from SMBASE. The 64-bit map is AMD's (APM vol. 2 table
// 10-1, revision 64h), the 32-bit one Intel's (SDM vol. 3C table 31-1; its reserved part holds the hidden
// descriptor parts where P6 processors have them). Both offer SMBASE relocation.
#pragma once

#include <cstdint>

namespace rhea::cpu::smm {

inline constexpr uint32_t kHandler = 0x8000;
inline constexpr uint32_t kRevision = 0xfefc;  // same place in both
inline constexpr uint32_t kRevision64 = 0x20064, kRevision32 = 0x20000;
inline constexpr uint32_t kRelocatable = 0x20000;

namespace wide {
// 16 bytes each: selector, attributes, limit, base. Order: ES CS SS DS FS GS GDTR LDTR IDTR TR.
inline constexpr uint32_t kSegments = 0xfe00, kGdtr = 0xfe60, kLdtr = 0xfe70, kIdtr = 0xfe80, kTr = 0xfe90,
                          kAutoHalt = 0xfec9, kNmiMask = 0xfeca, kEfer = 0xfed0, kSmbase = 0xff00,
                          kCr4 = 0xff48, kCr3 = 0xff50, kCr0 = 0xff58, kDr7 = 0xff60, kDr6 = 0xff68,
                          kRflags = 0xff70, kRip = 0xff78, kR15 = 0xff80, kRdi = 0xffc0;
}  // namespace wide

namespace narrow {
inline constexpr uint32_t kAutoHalt = 0xff02, kSmbase = 0xfef8, kCr4 = 0xff14, kNmiMask = 0xff18,
                          kIdtr = 0xff54, kTr = 0xff5c, kGdtr = 0xff70, kLdtr = 0xff78, kSelectors = 0xffa8,
                          kLdtrSelector = 0xffc0, kTrSelector = 0xffc4, kDr7 = 0xffc8, kDr6 = 0xffcc,
                          kEax = 0xffd0, kEip = 0xfff0, kEflags = 0xfff4, kCr3 = 0xfff8, kCr0 = 0xfffc;
// 12 bytes each: attributes, limit, base.
constexpr uint32_t segment(unsigned i) {
  return i < 3 ? 0xff84 + i * 12 : 0xff2c + (i - 3) * 12;
}
}  // namespace narrow

}  // namespace rhea::cpu::smm
