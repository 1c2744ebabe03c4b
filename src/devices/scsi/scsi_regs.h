// Operation codes, status and sense values (T10 SPC-4 and SBC-3).
#pragma once

#include <cstdint>

namespace rhea::devices::scsi {

enum class Op : uint8_t {
  TestUnitReady = 0x00,
  RequestSense = 0x03,
  FormatUnit = 0x04,
  Read6 = 0x08,
  Write6 = 0x0a,
  Inquiry = 0x12,
  ModeSelect6 = 0x15,
  ModeSense6 = 0x1a,
  StartStop = 0x1b,
  PreventRemoval = 0x1e,
  ReadFormatCapacities = 0x23,
  ReadCapacity10 = 0x25,
  Read10 = 0x28,
  Write10 = 0x2a,
  Verify10 = 0x2f,
  SynchronizeCache10 = 0x35,
  WriteSame10 = 0x41,
  Unmap = 0x42,
  ModeSelect10 = 0x55,
  ModeSense10 = 0x5a,
  Read16 = 0x88,
  Write16 = 0x8a,
  Verify16 = 0x8f,
  SynchronizeCache16 = 0x91,
  WriteSame16 = 0x93,
  ServiceActionIn16 = 0x9e,
  ReportLuns = 0xa0,
  Read12 = 0xa8,
  Write12 = 0xaa,
};

inline constexpr uint8_t kGood = 0x00;
inline constexpr uint8_t kCheckCondition = 0x02;

// Key, additional code and its qualifier.
struct Sense {
  uint8_t key = 0, code = 0, qualifier = 0;
};
inline constexpr Sense kNoSense{};
inline constexpr Sense kNotReadyNoMedium{2, 0x3a, 0};
inline constexpr Sense kNotReadyStopped{2, 0x04, 0x02};
inline constexpr Sense kMediumReadError{3, 0x11, 0};
inline constexpr Sense kMediumWriteError{3, 0x0c, 0};
inline constexpr Sense kInvalidOp{5, 0x20, 0};
inline constexpr Sense kLbaOutOfRange{5, 0x21, 0};
inline constexpr Sense kInvalidField{5, 0x24, 0};
inline constexpr Sense kInvalidParameter{5, 0x26, 0};
inline constexpr Sense kSavingUnsupported{5, 0x39, 0};
inline constexpr Sense kMediumChanged{6, 0x28, 0};
inline constexpr Sense kCapacityChanged{6, 0x2a, 0x09};
inline constexpr Sense kPowerOn{6, 0x29, 0};
inline constexpr Sense kWriteProtected{7, 0x27, 0};
inline constexpr Sense kSpaceExhausted{7, 0x27, 0x07};

}  // namespace rhea::devices::scsi
