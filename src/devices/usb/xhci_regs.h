// Numbers of the extensible host controller: registers, contexts, transfer request blocks.
//
// eXtensible Host Controller Interface for USB, revision 1.2: chapters 5 (registers), 6 (data structures).
#pragma once

#include <cstdint>

namespace rhea::devices::xhci {

// 5.3: where the groups of registers are in the BAR.
inline constexpr uint64_t kOperational = 0x40, kPortRegisters = 0x440, kRuntime = 0x1000, kDoorbells = 0x2000,
                          kMsixTable = 0x3000, kMsixPending = 0x3800, kBarSize = 0x4000;
inline constexpr unsigned kPortStride = 16, kInterrupterStride = 32, kInterrupters = 0x20;  // from kRuntime

// 5.4.1, 5.4.2
inline constexpr uint32_t kRun = 1, kHostReset = 2, kInterruptEnable = 4, kWrapEvent = 1u << 10,
                          kCommandBits = kRun | kInterruptEnable | 8 | kWrapEvent;
inline constexpr uint32_t kHalted = 1, kSystemError = 4, kEventInterrupt = 8, kPortChange = 16,
                          kStatusClear = kSystemError | kEventInterrupt | kPortChange | 1u << 10;
// 5.4.5
inline constexpr uint64_t kCycleState = 1, kCommandStop = 2, kCommandAbort = 4, kCommandRunning = 8;
// 5.4.8
inline constexpr uint32_t kConnected = 1, kPortEnabled = 2, kPortReset = 16, kLinkState = 15u << 5,
                          kPower = 1u << 9, kSpeedField = 15u << 10, kLinkWrite = 1u << 16,
                          kConnectChange = 1u << 17, kEnableChange = 1u << 18, kWarmChange = 1u << 19,
                          kResetChange = 1u << 21, kLinkChange = 1u << 22, kChanges = 0x7fu << 17,
                          kWake = 7u << 25, kWarmReset = 1u << 31;
inline constexpr uint32_t kLinkU0 = 0, kLinkU3 = 3, kLinkDetect = 5, kLinkPolling = 7, kLinkResume = 15;
// 5.5.2
inline constexpr uint32_t kPending = 1, kInterrupterEnable = 2;
inline constexpr uint64_t kHandlerBusy = 8;

// 6.4.6
enum TrbType : uint8_t {
  kNormal = 1,
  kSetupStage = 2,
  kDataStage = 3,
  kStatusStage = 4,
  kIsoch = 5,
  kLink = 6,
  kEventData = 7,
  kNoOp = 8,
  kEnableSlot = 9,
  kDisableSlot = 10,
  kAddressDevice = 11,
  kConfigureEndpoint = 12,
  kEvaluateContext = 13,
  kResetEndpoint = 14,
  kStopEndpoint = 15,
  kSetDequeue = 16,
  kResetDevice = 17,
  kNoOpCommand = 23,
  kTransferEvent = 32,
  kCommandCompletion = 33,
  kPortStatusChange = 34,
};
// 6.4.5
enum Completion : uint8_t {
  kSuccess = 1,
  kTransactionError = 4,
  kTrbError = 5,
  kStallError = 6,
  kNoSlots = 9,
  kSlotNotEnabled = 11,
  kEndpointNotEnabled = 12,
  kShortPacket = 13,
  kParameterError = 17,
  kContextStateError = 19,
  kCommandRingStopped = 24,
  kStopped = 26,
  kStoppedLengthInvalid = 27,
};
// 6.4.1, 6.4.4: bits of the fourth dword.
inline constexpr uint32_t kCycle = 1, kToggleCycle = 2, kEvaluateNext = 2, kInterruptOnShort = 4, kChain = 16,
                          kInterruptOnCompletion = 32, kImmediateData = 64, kBlockSetAddress = 1u << 9,
                          kDeconfigure = 1u << 9, kDirectionIn = 1u << 16, kEventDataFlag = 4;

// 6.2.2, 6.2.3: states.
enum SlotState : uint8_t { kSlotDisabled, kSlotDefault, kSlotAddressed, kSlotConfigured };
enum EndpointState : uint8_t {
  kEndpointDisabled,
  kEndpointRunning,
  kEndpointHalted,
  kEndpointStopped,
  kEndpointError
};

inline constexpr unsigned kContextSize = 32, kEndpoints = 31;  // by device context index, from 1

struct Trb {
  uint64_t parameter = 0;
  uint32_t status = 0, control = 0;
  unsigned type() const { return control >> 10 & 63; }
};

}  // namespace rhea::devices::xhci
