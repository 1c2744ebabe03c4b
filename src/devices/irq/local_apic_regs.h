// Local APIC registers. SDM vol. 3A chapter 11 (10 in older editions): table 11-1; the MSR of an x2APIC
// register is 800H + offset / 16 (table 11-6).
#pragma once

#include <cstdint>

namespace rhea::devices::apic {

// Offsets / 16.
enum Reg : uint32_t {
  kId = 0x02,
  kVersion = 0x03,
  kTpr = 0x08,
  kApr = 0x09,
  kPpr = 0x0a,
  kEoi = 0x0b,
  kRrd = 0x0c,
  kLdr = 0x0d,
  kDfr = 0x0e,
  kSvr = 0x0f,
  kIsr = 0x10,
  kTmr = 0x18,
  kIrr = 0x20,
  kEsr = 0x28,
  kIcrLow = 0x30,
  kIcrHigh = 0x31,
  kLvtTimer = 0x32,
  kLvtThermal = 0x33,
  kLvtPmc = 0x34,
  kLvtLint0 = 0x35,
  kLvtLint1 = 0x36,
  kLvtError = 0x37,
  kTmict = 0x38,
  kTmcct = 0x39,
  kTdcr = 0x3e,
  kSelfIpi = 0x3f,
};

inline constexpr uint32_t kVersionValue = 0x00050014;  // integrated, LVT entries 0 to 5

inline constexpr uint32_t kMasked = 1 << 16;
inline constexpr uint32_t kSvrEnable = 1 << 8, kSvrWritable = 0x3ff;
inline constexpr uint32_t kEsrSendIllegal = 1 << 5, kEsrReceiveIllegal = 1 << 6, kEsrIllegalRegister = 1 << 7;

// Writable bits of LVT entries in the order of their registers.
inline constexpr uint32_t kLvtWritable[6] = {0x700ff, 0x107ff, 0x107ff, 0x1a7ff, 0x1a7ff, 0x100ff};

inline constexpr uint32_t kIcrWritable = 0xccfff & ~0x1000u;
inline constexpr uint32_t kIcrLogical = 1 << 11, kIcrAssert = 1 << 14, kIcrLevel = 1 << 15;

// IA32_APIC_BASE, 11.4.4 and 11.12.1.
inline constexpr uint64_t kBaseBsp = 1 << 8, kBaseX2 = 1 << 10, kBaseEnable = 1 << 11;

}  // namespace rhea::devices::apic
