// Registers and bits of the 82540EM as drivers see them. Intel 317453, "PCI/PCI-X Family of Gigabit Ethernet
// Controllers Software Developer's Manual", chapter 13; 3.2 and 3.3 for the descriptors.
#pragma once

#include <cstdint>

namespace rhea::devices::e1000 {

// 13.3, table 13-2.
enum Register : uint32_t {
  kCtrl = 0x0000,
  kCtrlDup = 0x0004,
  kStatus = 0x0008,
  kEecd = 0x0010,
  kEerd = 0x0014,
  kCtrlExt = 0x0018,
  kMdic = 0x0020,
  kFcal = 0x0028,
  kFcah = 0x002c,
  kFct = 0x0030,
  kVet = 0x0038,
  kIcr = 0x00c0,
  kItr = 0x00c4,
  kIcs = 0x00c8,
  kIms = 0x00d0,
  kImc = 0x00d8,
  kRctl = 0x0100,
  kFcttv = 0x0170,
  kTxcw = 0x0178,
  kRxcw = 0x0180,
  kTctl = 0x0400,
  kTipg = 0x0410,
  kAit = 0x0458,
  kLedctl = 0x0e00,
  kPba = 0x1000,
  kFcrtl = 0x2160,
  kFcrth = 0x2168,
  kRdbal = 0x2800,
  kRdbah = 0x2804,
  kRdlen = 0x2808,
  kRdh = 0x2810,
  kRdt = 0x2818,
  kRdtr = 0x2820,
  kRxdctl = 0x2828,
  kRadv = 0x282c,
  kRsrpd = 0x2c00,
  kTdbal = 0x3800,
  kTdbah = 0x3804,
  kTdlen = 0x3808,
  kTdh = 0x3810,
  kTdt = 0x3818,
  kTidv = 0x3820,
  kTxdctl = 0x3828,
  kTadv = 0x382c,
  kTspmt = 0x3830,
  kStatistics = 0x4000,
  kMpc = 0x4010,
  kStatisticsEnd = 0x4100,
  kRxcsum = 0x5000,
  kMta = 0x5200,
  kMtaEnd = 0x5400,
  kRal = 0x5400,
  kRalEnd = 0x5480,
  kVfta = 0x5600,
  kVftaEnd = 0x5800,
  kWuc = 0x5800,
  kWufc = 0x5808,
  kWus = 0x5810,
  kManc = 0x5820,
  kIpav = 0x5838,
  kRegistersEnd = 0x5840,
};

// Statistics, 13.7.
enum Statistic : uint32_t {
  kPrc64 = 0x405c,
  kPrc127 = 0x4060,
  kPrc255 = 0x4064,
  kPrc511 = 0x4068,
  kPrc1023 = 0x406c,
  kPrc1522 = 0x4070,
  kGprc = 0x4074,
  kBprc = 0x4078,
  kMprc = 0x407c,
  kGptc = 0x4080,
  kGorcl = 0x4088,
  kGorch = 0x408c,
  kGotcl = 0x4090,
  kGotch = 0x4094,
  kTorl = 0x40c0,
  kTorh = 0x40c4,
  kTotl = 0x40c8,
  kToth = 0x40cc,
  kTpr = 0x40d0,
  kTpt = 0x40d4,
  kPtc64 = 0x40d8,
  kPtc127 = 0x40dc,
  kPtc255 = 0x40e0,
  kPtc511 = 0x40e4,
  kPtc1023 = 0x40e8,
  kPtc1522 = 0x40ec,
  kMptc = 0x40f0,
  kBptc = 0x40f4,
  kTsctc = 0x40f8,
};

// CTRL, 13.4.1.
inline constexpr uint32_t kCtrlFullDuplex = 1u << 0, kCtrlSetLinkUp = 1u << 6, kCtrlSpeed1000 = 2u << 8,
                          kCtrlReset = 1u << 26, kCtrlVlanMode = 1u << 30, kCtrlPhyReset = 1u << 31;
// STATUS, 13.4.2.
inline constexpr uint32_t kStatusFullDuplex = 1u << 0, kStatusLinkUp = 1u << 1, kStatusSpeed1000 = 2u << 6,
                          kStatusAsdv1000 = 2u << 8;
// EECD, 13.4.3.
inline constexpr uint32_t kEecdClock = 1u << 0, kEecdSelect = 1u << 1, kEecdIn = 1u << 2, kEecdOut = 1u << 3,
                          kEecdRequest = 1u << 6, kEecdGrant = 1u << 7, kEecdPresent = 1u << 8;
// EERD, 13.4.4.
inline constexpr uint32_t kEerdStart = 1u << 0, kEerdDone = 1u << 4;
// MDIC, 13.4.7.
inline constexpr uint32_t kMdicReady = 1u << 28, kMdicInterrupt = 1u << 29, kMdicError = 1u << 30;
// ICR, ICS, IMS, IMC, 13.4.17.
inline constexpr uint32_t kIntTxdw = 1u << 0, kIntTxqe = 1u << 1, kIntLsc = 1u << 2, kIntRxdmt0 = 1u << 4,
                          kIntRxo = 1u << 6, kIntRxt0 = 1u << 7, kIntMdac = 1u << 9, kIntTxdLow = 1u << 15;
// RCTL, 13.4.22.
inline constexpr uint32_t kRctlEnable = 1u << 1, kRctlBadPackets = 1u << 2, kRctlUnicast = 1u << 3,
                          kRctlMulticast = 1u << 4, kRctlLong = 1u << 5, kRctlLoopback = 3u << 6,
                          kRctlBroadcast = 1u << 15, kRctlVlanFilter = 1u << 18, kRctlCfiEnable = 1u << 19,
                          kRctlCfi = 1u << 20, kRctlSizeExtension = 1u << 25, kRctlStripCrc = 1u << 26;
// TCTL, 13.4.33.
inline constexpr uint32_t kTctlEnable = 1u << 1, kTctlPad = 1u << 3;
// RXCSUM, 13.4.35.
inline constexpr uint32_t kRxcsumIp = 1u << 8, kRxcsumTransport = 1u << 9;
// RAH, 13.5.3.
inline constexpr uint32_t kRahValid = 1u << 31, kRahSource = 1u << 16;

// Receive descriptor, 3.2.3.
inline constexpr uint8_t kRxDone = 0x01, kRxEndOfPacket = 0x02, kRxIgnoreChecksum = 0x04, kRxVlan = 0x08,
                         kRxTransportChecked = 0x20, kRxIpChecked = 0x40;
inline constexpr uint8_t kRxTransportError = 0x20, kRxIpError = 0x40;
// Transmit descriptors, 3.3.3, 3.3.6 and 3.3.7. The command byte is in the same place in all of them.
inline constexpr uint8_t kTxEndOfPacket = 0x01, kTxInsertChecksum = 0x04, kTxSegment = 0x04,
                         kTxReportStatus = 0x08, kTxReportSent = 0x10, kTxExtended = 0x20, kTxVlan = 0x40;
inline constexpr uint8_t kTxContextTcp = 0x01, kTxContextIp4 = 0x02;
inline constexpr uint8_t kTxOptionIp = 0x01, kTxOptionTransport = 0x02;
inline constexpr uint8_t kTxDone = 0x01;

inline constexpr unsigned kDescriptorSize = 16;

}  // namespace rhea::devices::e1000
