// Registers (section 2) and command codes (section 5) of the 82078, Intel 290468-006.
#pragma once

#include <cstdint>

namespace rhea::devices::i82078 {

enum Register : unsigned {
  kStatusA = 0,
  kStatusB = 1,
  kOutput = 2,
  kTape = 3,
  kMainStatus = 4,
  kRateSelect = 4,
  kFifo = 5,
  kInput = 7,
};

inline constexpr uint8_t kOutputDrive = 0x03, kOutputRun = 0x04, kOutputDma = 0x08;
inline constexpr uint8_t kRateMask = 0x03, kRateReset = 0x80;
inline constexpr uint8_t kReadyForHost = 0x80, kToHost = 0x40, kNoDma = 0x20, kCommandBusy = 0x10;

enum Command : uint8_t {
  kReadTrack = 0x02,
  kSpecify = 0x03,
  kSenseDrive = 0x04,
  kWriteData = 0x05,
  kReadData = 0x06,
  kRecalibrate = 0x07,
  kSenseInterrupt = 0x08,
  kWriteDeleted = 0x09,
  kReadId = 0x0a,
  kReadDeleted = 0x0c,
  kFormatTrack = 0x0d,
  kDumpRegisters = 0x0e,
  kSeek = 0x0f,
  kVersion = 0x10,
  kPerpendicular = 0x12,
  kConfigure = 0x13,
  kLock = 0x14,
  kVerify = 0x16,
  kPowerDownMode = 0x17,
  kPartId = 0x18,
  kOption = 0x33,
  kDriveSpecification = 0x8e,
  kRelativeSeekOut = 0x8f,
  kRelativeSeekIn = 0xcf,
};
inline constexpr uint8_t kOpcode = 0x1f;  // of commands with MT, MFM and SK above it
// Drive specification: the byte that ends it, and whether results follow; the drive's unit and its rate
// table.
inline constexpr uint8_t kSpecificationDone = 0x80, kNoResults = 0x40, kSpecificationKept = 0x1f;
inline constexpr uint8_t kMultiTrack = 0x80, kFrequency = 0x40, kLockSet = 0x80;

// Status bytes.
inline constexpr uint8_t kAbnormal = 0x40, kInvalid = 0x80, kPolling = 0xc0, kSeekEnd = 0x20,
                         kEquipmentCheck = 0x10;
inline constexpr uint8_t kEndOfCylinder = 0x80, kDataError = 0x20, kOverrun = 0x10, kNoData = 0x04,
                         kNotWritable = 0x02, kMissingMark = 0x01;
inline constexpr uint8_t kWrongCylinder = 0x10;

}  // namespace rhea::devices::i82078
