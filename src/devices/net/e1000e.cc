#include "devices/net/e1000e.h"

#include "base/endian.h"

namespace rhea::devices {

using namespace e1000;

namespace {

// Chapter 10: what the 82540EM has not, or has elsewhere.
enum Register82574 : uint32_t {
  kIvar = 0x00e4,
  kEiac = 0x00dc,
  kIam = 0x00e0,
  kEitr = 0x00e8,
  kEitrEnd = 0x00fc,
  kExtcnfCtrl = 0x0f00,
  kExtcnfSize = 0x0f08,
  kPhyCtrl = 0x0f10,
  kPbs = 0x1008,
  kEemngctl = 0x1010,
  kRdtr1 = 0x2920,
  kRxdctl1 = 0x2928,
  kPsrctl = 0x2170,
  kTarc0 = 0x3840,
  kTxdctl1 = 0x3928,
  kTarc1 = 0x3940,
  kRfctl = 0x5008,
  kMrqc = 0x5818,
  kWupl = 0x5900,
  kGcr = 0x5b00,
  kFactps = 0x5b30,
  kSwsm = 0x5b50,
  kFwsm = 0x5b54,
  kSwsm2 = 0x5b58,
  kGcr2 = 0x5b64,
  kReta = 0x5c00,
  kRssrkEnd = 0x5ca8,
  kTsyncrxctl = 0xb620,
  kTsynctxctl = 0xb614,
  kTiminca = 0xb608,
  kEnd = 0xb640,
};

constexpr uint32_t kCtrlGioMasterDisable = 1u << 2, kStatusGioMaster = 1u << 19;
constexpr uint32_t kEecdAutoRead = 1u << 9;
constexpr uint32_t kEerdDone82574 = 1u << 1;
constexpr uint32_t kConfigDone = 1u << 18;
constexpr uint32_t kExtendedStatus = 1u << 15;  // RFCTL.EXSTEN
constexpr uint32_t kCtrlExtEiame = 1u << 24, kCtrlExtIame = 1u << 27;
constexpr uint32_t kSmbi = 1;
constexpr uint32_t kInterrupts82574 = 0x81f7ffff & ~(1u << 31);
// 7.4.1.2: causes that MSI-X has vectors for, and the ones of the 82540EM that they stand for.
constexpr uint32_t kRxq0 = 1u << 20, kTxq0 = 1u << 22, kOther = 1u << 24;
constexpr uint32_t kOtherCauses = kIntLsc | kIntRxo | kIntMdac;
constexpr unsigned kVectors = 5;
constexpr unsigned kMsiAt = 0x40, kMsixAt = 0x60, kExpressAt = 0x80;
constexpr uint32_t kPendingAt = 0x2000;

bool within(uint32_t offset, uint32_t first, uint32_t end) {
  return offset >= first && offset < end;
}

bool is_plain(uint32_t offset) {
  switch (offset) {
    case kIam:
    case kIvar:
    case kExtcnfCtrl:
    case kExtcnfSize:
    case kPhyCtrl:
    case kPbs:
    case kRdtr1:
    case kRxdctl1:
    case kPsrctl:
    case kTarc0:
    case kTxdctl1:
    case kTarc1:
    case kRfctl:
    case kMrqc:
    case kGcr:
    case kGcr2:
    case kSwsm2:
    case kTsyncrxctl:
    case kTsynctxctl:
    case kTiminca: return true;
    default: return within(offset, kReta, kRssrkEnd) || within(offset, kEitr, kEitrEnd);
  }
}

}  // namespace

E1000e::E1000e(Wiring wiring, bus::pci::PortType port)
    : E1000(std::move(wiring), {.name = "e1000e",
                                .device_id = 0x10d3,
                                .phy_id = 0x0cb1,
                                .revision = 0,
                                .registers_end = kEnd,
                                .interrupts = kInterrupts82574,
                                .status = kStatusAsdv1000 | kStatusGioMaster,
                                .express = true}),
      msi_(*this, kMsiAt, {.vectors = 1, .wide = true}),
      msix_(*this, kMsixAt, kVectors, {.bar = 3, .table = 0, .pending = kPendingAt}) {
  add_bar(1, bus::pci::BarKind::Memory32, kFlashSize, flash_);
  add_bar(2, bus::pci::BarKind::Io, kWindowSize, window());
  add_bar(3, bus::pci::BarKind::Memory32, kVectorsSize, vectors_);
  bus::pci::add_express(*this, kExpressAt, {.type = port});
}

void E1000e::reset(bus::ResetKind kind) {
  msix_.reset();
  E1000::reset(kind);
}

void E1000e::state(bus::StateVisitor& v) {
  E1000::state(v);
  msix_.state(v);
}

void E1000e::own_reset() {
  reg(kCtrl) &= ~kCtrlGioMasterDisable;
  reg(kEemngctl) = kConfigDone;
  reg(kMrqc) = 0;
}

bool E1000e::own_write(uint32_t offset, uint32_t value) {
  switch (offset) {
    case kCtrl:
    case kCtrlDup:
      // The driver waits for this before it resets the device.
      reg(kStatus) = (value & kCtrlGioMasterDisable) != 0 ? reg(kStatus) & ~kStatusGioMaster
                                                          : reg(kStatus) | kStatusGioMaster;
      return false;
    case kEerd:
      reg(kEerd) = (value & 0xfffc) | kEerdDone82574;
      if ((value & kEerdStart) != 0)
        reg(kEerd) |= static_cast<uint32_t>(eeprom_word(value >> 2 & 0x3fff)) << 16;
      return true;
    case kEiac: reg(kEiac) = value & 0x01f00000; return true;
    case kSwsm: reg(kSwsm) = value; return true;
    case kIms:
      if (!msix_.enabled()) return false;
      reg(kIms) |= value & kInterrupts82574;
      send_messages();
      return true;
    default: break;
  }
  if (!is_plain(offset)) return false;
  reg(offset) = value;
  return true;
}

bool E1000e::own_read(uint32_t offset, uint32_t& value) {
  switch (offset) {
    case kEecd: value = kEecdPresent | kEecdAutoRead | kEecdGrant; return true;
    case kSwsm:  // reading takes the semaphore
      value = reg(kSwsm);
      reg(kSwsm) |= kSmbi;
      return true;
    case kIcr:
      if (!msix_.enabled()) return false;
      value = std::exchange(reg(kIcr), 0);
      return true;
    default: return false;
  }
}

void E1000e::drive_interrupt(bool level) {
  if (msix_.enabled()) return;
  if (!msi_.enabled()) return set_intx(level);
  set_intx(false);
  if (level) msi_.notify(0);
}

// 7.4.1.2, 7.4.3: in MSI-X mode a cause goes to its vector, and is cleared and masked there and then where
// EIAC and CTRL_EXT say so.
bool E1000e::announce(uint32_t bits) {
  if ((bits & (kIntRxt0 | kIntRxdmt0)) != 0) reg(kIcr) |= kRxq0;
  if ((bits & (kIntTxdw | kIntTxqe)) != 0) reg(kIcr) |= kTxq0;
  if ((bits & kOtherCauses) != 0) reg(kIcr) |= kOther;
  if (!msix_.enabled()) return false;
  send_messages();
  return true;
}

// Of the causes that stand and are not masked.
void E1000e::send_messages() {
  constexpr struct {
    uint32_t bit;
    unsigned shift;
  } kCauses[] = {{kRxq0, 0}, {1u << 21, 4}, {kTxq0, 8}, {1u << 23, 12}, {kOther, 16}};
  for (const auto& cause : kCauses) {
    if ((reg(kIcr) & reg(kIms) & cause.bit) == 0) continue;
    const uint32_t entry = reg(kIvar) >> cause.shift & 15;
    if ((entry & 8) == 0 || (entry & 7) >= kVectors) continue;
    if ((reg(kCtrlExt) & kCtrlExtEiame) != 0) reg(kIms) &= ~(reg(kIam) & cause.bit);
    if ((reg(kEiac) & cause.bit) != 0) {
      reg(kIcr) &= ~cause.bit;
      if ((reg(kCtrlExt) & kCtrlExtIame) == 0) reg(kIms) &= ~cause.bit;
    }
    msix_.notify(entry & 7);
  }
}

// 7.1.5: extended descriptors, written back over the address.
bool E1000e::write_back(uint64_t place, const Stored& stored) {
  if ((reg(kRfctl) & kExtendedStatus) == 0) return false;
  uint8_t descriptor[kDescriptorSize] = {};
  const uint32_t state = stored.status | static_cast<uint32_t>(stored.errors) << 24;
  store_le<uint32_t>(&descriptor[8], state);
  store_le<uint16_t>(&descriptor[12], stored.length);
  store_le<uint16_t>(&descriptor[14], stored.tag);
  dma_write(place, std::span<const uint8_t>(descriptor).first(8));
  dma_write(place + 8, std::span<const uint8_t>(descriptor).subspan(8));
  return true;
}

void E1000e::config_written(unsigned offset, unsigned size) {
  msi_.config_written(offset, size);
  msix_.config_written(offset, size);
}

uint64_t E1000e::Vectors::io_read(uint64_t offset, unsigned size) {
  auto& msix = nic.msix_;
  if (offset < kPendingAt) return offset < msix.table_size() ? msix.io_read(offset, size) : 0;
  const uint64_t at = offset - kPendingAt + msix.pending_offset();
  return at < msix.io_size() ? msix.io_read(at, size) : 0;
}

void E1000e::Vectors::io_write(uint64_t offset, unsigned size, uint64_t value) {
  if (offset < nic.msix_.table_size()) nic.msix_.io_write(offset, size, value);
}

}  // namespace rhea::devices
