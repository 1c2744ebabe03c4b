// PCI Local Bus Specification 3.0, chapter 6: configuration space, and appendix D: class codes. PCI-to-PCI
// Bridge Architecture 1.2, 3.2: the type 1 header.
#pragma once

#include <cstdint>

namespace rhea::bus::pci {

inline constexpr unsigned kConfigSize = 256, kExtendedConfigSize = 4096;

// 6.1, figure 6-1.
enum Register : unsigned {
  kVendorId = 0x00,
  kDeviceId = 0x02,
  kCommand = 0x04,
  kStatus = 0x06,
  kRevisionId = 0x08,
  kClassCode = 0x09,
  kCacheLineSize = 0x0c,
  kLatencyTimer = 0x0d,
  kHeaderType = 0x0e,
  kBist = 0x0f,
  kBar0 = 0x10,
  kSubsystemVendorId = 0x2c,
  kSubsystemId = 0x2e,
  kExpansionRom = 0x30,
  kCapabilities = 0x34,
  kInterruptLine = 0x3c,
  kInterruptPin = 0x3d,
  // Type 1.
  kPrimaryBus = 0x18,
  kSecondaryBus = 0x19,
  kSubordinateBus = 0x1a,
  kSecondaryLatency = 0x1b,
  kIoBase = 0x1c,
  kIoLimit = 0x1d,
  kSecondaryStatus = 0x1e,
  kMemoryBase = 0x20,
  kMemoryLimit = 0x22,
  kPrefetchBase = 0x24,
  kPrefetchLimit = 0x26,
  kPrefetchBaseUpper = 0x28,
  kPrefetchLimitUpper = 0x2c,
  kIoBaseUpper = 0x30,
  kIoLimitUpper = 0x32,
  kBridgeRom = 0x38,
  kBridgeControl = 0x3e,
};

// 6.2.2.
inline constexpr uint16_t kCommandIo = 0x0001, kCommandMemory = 0x0002, kCommandMaster = 0x0004,
                          kCommandParity = 0x0040, kCommandSerr = 0x0100, kCommandIntxDisable = 0x0400;
// 6.2.3.
inline constexpr uint16_t kStatusInterrupt = 0x0008, kStatusCapabilities = 0x0010,
                          kStatusFastBackToBack = 0x0080, kStatusDevselMedium = 0x0200,
                          kStatusErrors = 0xf900;

// Appendix H.
inline constexpr uint8_t kCapMsi = 0x05, kCapExpress = 0x10, kCapMsix = 0x11;
// PCI Express Base 3.0, 7.10 and on.
inline constexpr uint16_t kExtendedAer = 0x0001, kExtendedSerial = 0x0003, kExtendedAcs = 0x000d;

}  // namespace rhea::bus::pci
