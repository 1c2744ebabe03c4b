// Registers of the High Definition Audio controller. HDA Specification 1.0a, 3.3; names as there. Offsets are
// those of the dword that holds the register.
#pragma once

#include <cstdint>

namespace rhea::devices::hda {

inline constexpr unsigned kGCAP = 0x00;    // 0: GCAP, 2: VMIN, 3: VMAJ
inline constexpr unsigned kOUTPAY = 0x04;  // 4: OUTPAY, 6: INPAY
inline constexpr unsigned kGCTL = 0x08;
inline constexpr unsigned kWAKEEN = 0x0c;  // 0xc: WAKEEN, 0xe: STATESTS
inline constexpr unsigned kINTCTL = 0x20;
inline constexpr unsigned kINTSTS = 0x24;
inline constexpr unsigned kWALCLK = 0x30;
inline constexpr unsigned kCORBLBASE = 0x40;
inline constexpr unsigned kCORBUBASE = 0x44;
inline constexpr unsigned kCORBWP = 0x48;   // 0x48: CORBWP, 0x4a: CORBRP
inline constexpr unsigned kCORBCTL = 0x4c;  // 0x4c: CORBCTL, 0x4d: CORBSTS, 0x4e: CORBSIZE
inline constexpr unsigned kRIRBLBASE = 0x50;
inline constexpr unsigned kRIRBUBASE = 0x54;
inline constexpr unsigned kRIRBWP = 0x58;   // 0x58: RIRBWP, 0x5a: RINTCNT
inline constexpr unsigned kRIRBCTL = 0x5c;  // 0x5c: RIRBCTL, 0x5d: RIRBSTS, 0x5e: RIRBSIZE
inline constexpr unsigned kICOI = 0x60;
inline constexpr unsigned kICII = 0x64;
inline constexpr unsigned kICIS = 0x68;
inline constexpr unsigned kDPLBASE = 0x70;
inline constexpr unsigned kDPUBASE = 0x74;
inline constexpr unsigned kStreams = 0x80, kStreamSize = 0x20;
// Within a stream's registers.
inline constexpr unsigned kSDCTL = 0x00;  // 0: SDnCTL (24 bits), 3: SDnSTS
inline constexpr unsigned kSDLPIB = 0x04;
inline constexpr unsigned kSDCBL = 0x08;
inline constexpr unsigned kSDLVI = 0x0c;
inline constexpr unsigned kSDFIFOS = 0x10;  // 0x10: SDnFIFOS, 0x12: SDnFMT
inline constexpr unsigned kSDBDPL = 0x18;
inline constexpr unsigned kSDBDPU = 0x1c;
// Aliases of WALCLK and SDnLPIB, for user space.
inline constexpr unsigned kAliases = 0x2000;

inline constexpr uint32_t kCRST = 1;
inline constexpr uint32_t kGIE = 1u << 31, kCIE = 1u << 30;
inline constexpr uint32_t kGIS = 1u << 31, kCIS = 1u << 30;
inline constexpr uint8_t kCORBRUN = 2;
inline constexpr uint16_t kCORBRPRST = 0x8000, kRIRBWPRST = 0x8000;
inline constexpr uint8_t kRINTCTL = 1, kRIRBDMAEN = 2, kRIRBOIC = 4;
inline constexpr uint8_t kRINTFL = 1, kRIRBOIS = 4;
inline constexpr uint16_t kICB = 1, kIRV = 2;
inline constexpr uint32_t kSRST = 1, kRUN = 2, kIOCE = 4, kDEIE = 16;
inline constexpr uint8_t kBCIS = 4, kFIFOE = 8, kDESE = 16, kFIFORDY = 32;
inline constexpr uint32_t kPositionsEnabled = 1;  // of DPLBASE

// Merges the bytes of a write into a register.
template <class T>
T merged(T old, uint32_t value, uint32_t mask, uint32_t writable) {
  mask &= writable;
  return static_cast<T>((old & ~mask) | (value & mask));
}

}  // namespace rhea::devices::hda
