// Virtual I/O Device (VIRTIO) 1.2, with the legacy interface: device status, feature bits, descriptor flags
// and the PCI transport's layout (2.1, 2.2, 2.7, 2.8, 4.1, 5, 6).
#pragma once

#include <cstdint>

namespace rhea::devices::virtio {

// 2.1.
inline constexpr uint8_t kAcknowledge = 1, kDriver = 2, kDriverOk = 4, kFeaturesOk = 8, kNeedsReset = 64,
                         kFailed = 128;

constexpr uint64_t feature(unsigned bit) {
  return uint64_t{1} << bit;
}
// 6 and 6.3 (legacy). Bits 0..23 and 50..127 belong to the device types.
inline constexpr uint64_t kNotifyOnEmpty = feature(24), kAnyLayout = feature(27), kIndirectDesc = feature(28),
                          kEventIdx = feature(29), kVersion1 = feature(32), kRingPacked = feature(34);
inline constexpr uint64_t kLegacyOnly = kNotifyOnEmpty | kAnyLayout;

// 5.
inline constexpr uint16_t kIdNet = 1, kIdBlock = 2, kIdConsole = 3, kIdEntropy = 4, kIdBalloon = 5;

// 2.7.5 and 2.8.
inline constexpr uint16_t kDescNext = 1, kDescWrite = 2, kDescIndirect = 4, kDescAvail = 1u << 7,
                          kDescUsed = 1u << 15;
inline constexpr unsigned kDescBytes = 16;
// 2.7.6, 2.7.8: flags of the two halves of a split ring.
inline constexpr uint16_t kAvailNoInterrupt = 1, kUsedNoNotify = 1;
// 2.8.10: flags of the event suppression structures of a packed ring.
inline constexpr uint16_t kEventEnable = 0, kEventDisable = 1, kEventDesc = 2;

inline constexpr uint16_t kNoVector = 0xffff;
inline constexpr unsigned kMaxQueueSize = 1024;
// Segments of one request. A chain in an indirect table may be longer than the ring.
inline constexpr unsigned kMaxSegments = 1024;

// 4.1.4: capability types, and registers of the common configuration structure (4.1.4.3).
enum PciCapability : uint8_t {
  kCapCommon = 1,
  kCapNotify = 2,
  kCapIsr = 3,
  kCapDevice = 4,
  kCapPciConfig = 5
};
enum CommonRegister : unsigned {
  kDeviceFeatureSelect = 0,
  kDeviceFeature = 4,
  kDriverFeatureSelect = 8,
  kDriverFeature = 12,
  kConfigVector = 16,
  kNumQueues = 18,
  kDeviceStatus = 20,
  kConfigGeneration = 21,
  kQueueSelect = 22,
  kQueueSize = 24,
  kQueueVector = 26,
  kQueueEnable = 28,
  kQueueNotifyOff = 30,
  kQueueDesc = 32,
  kQueueDriver = 40,
  kQueueDevice = 48,
};
// 4.1.4.10: the legacy header. The vectors are there while MSI-X is enabled.
enum LegacyRegister : unsigned {
  kLegacyHostFeatures = 0,
  kLegacyGuestFeatures = 4,
  kLegacyQueuePfn = 8,
  kLegacyQueueSize = 12,
  kLegacyQueueSelect = 14,
  kLegacyQueueNotify = 16,
  kLegacyStatus = 18,
  kLegacyIsr = 19,
  kLegacyConfigVector = 20,
  kLegacyQueueVector = 22,
};
inline constexpr unsigned kLegacyPageShift = 12;
inline constexpr uint8_t kIsrQueue = 1, kIsrConfig = 2;

}  // namespace rhea::devices::virtio
