// EHCI 1.0: registers (chapter 2) and descriptors (chapter 3).
#pragma once

#include <cstdint>

namespace rhea::devices::ehci {

// 2.2: capability registers; 2.3: operational ones behind them.
inline constexpr unsigned kCapLength = 0x20;
inline constexpr unsigned kStructural = 0x04, kCapabilities = 0x08;
inline constexpr unsigned kCommand = 0x20, kStatus = 0x24, kInterruptEnable = 0x28, kFrameIndex = 0x2c,
                          kSegment = 0x30, kPeriodicList = 0x34, kAsyncList = 0x38, kConfigFlag = 0x60,
                          kPort0 = 0x64;
// USBCMD.
inline constexpr uint32_t kRun = 1, kHostReset = 2, kPeriodicEnable = 0x10, kAsyncEnable = 0x20,
                          kDoorbell = 0x40;
inline constexpr uint32_t kThreshold = 0xff0000, kDefaultThreshold = 0x080000;
inline constexpr uint32_t kCommandBits = kRun | kPeriodicEnable | kAsyncEnable | kDoorbell | kThreshold;
// USBSTS.
inline constexpr uint32_t kUsbInt = 1, kErrorInt = 2, kPortChange = 4, kRollover = 8, kSystemError = 0x10,
                          kAsyncAdvance = 0x20, kHalted = 0x1000, kPeriodicRuns = 0x4000, kAsyncRuns = 0x8000;
inline constexpr uint32_t kStatusClear = 0x3f;
// PORTSC.
inline constexpr uint32_t kConnected = 1, kConnectChange = 2, kEnabled = 4, kEnableChange = 8, kResume = 0x40,
                          kSuspend = 0x80, kReset = 0x100, kPower = 0x1000, kOwner = 0x2000;
inline constexpr uint32_t kLineK = 0x400, kLineJ = 0x800;
inline constexpr uint32_t kOverCurrentChange = 0x20, kWakeBits = 0x700000;
// 3.1: links.
inline constexpr uint32_t kTerminate = 1, kLinkType = 6, kLinkAddress = ~31u;
inline constexpr uint32_t kTypeIsochronous = 0, kTypeQueue = 2, kTypeSplitIsochronous = 4, kTypeSpan = 6;
// 3.6: words of a queue head.
inline constexpr unsigned kLink = 0, kCharacteristics = 1, kCurrent = 3, kNext = 4, kAlternate = 5,
                          kToken = 6, kBuffers = 7;
inline constexpr uint32_t kToggleControl = 1u << 14;
// 3.5.3: the token of a transfer.
inline constexpr uint32_t kActive = 0x80, kStopped = 0x40, kBabble = 0x10, kTransactionError = 8,
                          kErrorCount = 0xc00, kOneError = 0x400, kOnComplete = 0x8000, kToggle = 1u << 31;
inline constexpr uint32_t kPidOut = 0, kPidIn = 1, kPidSetup = 2;

}  // namespace rhea::devices::ehci
