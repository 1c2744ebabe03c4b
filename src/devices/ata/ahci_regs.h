// Registers, memory structures and FISes of an AHCI controller. Serial ATA AHCI 1.3.1: 3 (registers), 4
// (memory structures); Serial ATA 3.0, 10.3 (FISes).
#pragma once

#include <cstdint>

namespace rhea::devices::ahci {

// 3.1: the controller's.
enum Register : unsigned {
  kCap = 0x00,
  kControl = 0x04,
  kInterrupts = 0x08,
  kPortsImplemented = 0x0c,
  kVersion = 0x10,
  kCap2 = 0x24,
};
inline constexpr uint32_t kCapAhciOnly = 1u << 18, kCapSpeedShift = 20, kCapNcq = 1u << 30, kCap64 = 1u << 31;
inline constexpr unsigned kCapSlotsShift = 8;
inline constexpr uint32_t kHbaReset = 1, kInterruptEnable = 2, kAhciEnable = 1u << 31;
inline constexpr unsigned kFirstPort = 0x100, kPortBytes = 0x80;

// 3.3: a port's.
enum PortRegister : unsigned {
  kListBase = 0x00,
  kListBaseUpper = 0x04,
  kFisBase = 0x08,
  kFisBaseUpper = 0x0c,
  kPortInterrupts = 0x10,
  kPortInterruptEnable = 0x14,
  kPortCommand = 0x18,
  kTaskFile = 0x20,
  kSignature = 0x24,
  kSataStatus = 0x28,
  kSataControl = 0x2c,
  kSataError = 0x30,
  kSataActive = 0x34,
  kCommandIssue = 0x38,
};
// 3.3.5: interrupt status and enable.
inline constexpr uint32_t kIntD2h = 1u << 0, kIntPioSetup = 1u << 1, kIntSetBits = 1u << 3,
                          kIntConnect = 1u << 6, kIntOverflow = 1u << 24, kIntHostBus = 1u << 29,
                          kIntTaskFile = 1u << 30, kIntEnableBits = 0xfdc000ff;
inline constexpr uint32_t kIntClearable = 0xfd8000af;
// 3.3.7: command and status.
inline constexpr uint32_t kStart = 1u << 0, kSpinUp = 1u << 1, kPowerOn = 1u << 2, kFisEnable = 1u << 4,
                          kFisRunning = 1u << 14, kListRunning = 1u << 15, kAtapi = 1u << 24,
                          kCommandWritable = kStart | kFisEnable | 0x07000000, kIccShift = 28;
inline constexpr unsigned kSlotShift = 8;
// 3.3.10 to 3.3.12.
inline constexpr uint32_t kLinkUp = 0x123;  // present, second generation, active
inline constexpr uint32_t kDetectMask = 0xf, kDetectReset = 1;
inline constexpr uint32_t kErrorExchanged = 1u << 26;
inline constexpr uint32_t kNoDeviceTask = 0x7f, kNoSignature = 0xffffffff;

// 4.2.2: a command header; 4.2.3: the command table.
inline constexpr unsigned kHeaderBytes = 32, kSlots = 32, kTableFis = 0x00, kTablePacket = 0x40,
                          kTablePrdt = 0x80, kPacketBytes = 16, kFisBytes = 20, kPrdBytes = 16;
inline constexpr uint32_t kHeaderFisDwords = 0x1f, kHeaderClearBusy = 1u << 10;
// 4.2.1: the received FISes.
inline constexpr unsigned kReceivePio = 0x20, kReceiveD2h = 0x40, kReceiveSetBits = 0x58;

inline constexpr uint8_t kFisH2d = 0x27, kFisD2h = 0x34, kFisPioSetup = 0x5f, kFisSetBits = 0xa1;
inline constexpr uint8_t kFisIsCommand = 0x80, kFisInterrupt = 0x40, kFisToHost = 0x20;

}  // namespace rhea::devices::ahci
