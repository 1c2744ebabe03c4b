// Registers and commands of ATA devices. ATA8-ACS (T13/1699-D revision 4a), section 6 (registers) and 7
// (commands); ATA/ATAPI-7 volume 2 (T13/1532D) for the parallel transport.
#pragma once

#include <cstdint>

namespace rhea::devices::ata {

inline constexpr uint8_t kStatusError = 0x01, kStatusIndex = 0x02, kStatusData = 0x08, kStatusSeek = 0x10,
                         kStatusFault = 0x20, kStatusReady = 0x40, kStatusBusy = 0x80;
inline constexpr uint8_t kErrorAbort = 0x04, kErrorNotFound = 0x10, kErrorUncorrectable = 0x40;
// In the sector count register of packet devices.
inline constexpr uint8_t kReasonCommand = 0x01, kReasonToHost = 0x02;
inline constexpr uint8_t kDeviceLba = 0x40, kDeviceSecond = 0x10;
inline constexpr uint8_t kControlNoInterrupt = 0x02, kControlReset = 0x04, kControlHighOrder = 0x80;

inline constexpr unsigned kSector = 512;

enum Command : uint8_t {
  kNop = 0x00,
  kDataSetManagement = 0x06,
  kDeviceReset = 0x08,
  kRecalibrate = 0x10,  // to 0x1f
  kReadSectors = 0x20,
  kReadSectorsOnce = 0x21,
  kReadSectorsExt = 0x24,
  kReadDmaExt = 0x25,
  kReadNativeMaxExt = 0x27,
  kReadMultipleExt = 0x29,
  kWriteSectors = 0x30,
  kWriteSectorsOnce = 0x31,
  kWriteSectorsExt = 0x34,
  kWriteDmaExt = 0x35,
  kWriteMultipleExt = 0x39,
  kWriteDmaFuaExt = 0x3d,
  kReadVerify = 0x40,
  kReadVerifyOnce = 0x41,
  kReadVerifyExt = 0x42,
  kReadFpdma = 0x60,
  kWriteFpdma = 0x61,
  kSeek = 0x70,
  kDiagnostic = 0x90,
  kInitializeParameters = 0x91,
  kStandbyNow94 = 0x94,
  kIdleNow95 = 0x95,
  kStandby96 = 0x96,
  kIdle97 = 0x97,
  kCheckPower98 = 0x98,
  kSleep99 = 0x99,
  kPacket = 0xa0,
  kIdentifyPacket = 0xa1,
  kSmart = 0xb0,
  kReadMultiple = 0xc4,
  kWriteMultiple = 0xc5,
  kSetMultiple = 0xc6,
  kReadDma = 0xc8,
  kReadDmaOnce = 0xc9,
  kWriteDma = 0xca,
  kWriteDmaOnce = 0xcb,
  kWriteMultipleFuaExt = 0xce,
  kStandbyNow = 0xe0,
  kIdleNow = 0xe1,
  kStandby = 0xe2,
  kIdle = 0xe3,
  kCheckPower = 0xe5,
  kSleep = 0xe6,
  kFlush = 0xe7,
  kFlushExt = 0xea,
  kIdentify = 0xec,
  kSetFeatures = 0xef,
  kReadNativeMax = 0xf8,
};

}  // namespace rhea::devices::ata
