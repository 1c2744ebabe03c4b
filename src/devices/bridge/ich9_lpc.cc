#include "devices/bridge/ich9_lpc.h"

#include <utility>

#include "bus/pci/pci_bus.h"

namespace rhea::devices {

namespace {

// 13.1.
constexpr unsigned kPmBase = 0x40, kAcpiControl = 0x44, kPirqA = 0x60, kPirqE = 0x68, kPmConfig1 = 0xa0,
                   kRcba = 0xf0;
constexpr uint8_t kAcpiEnabled = 0x80, kRouteOff = 0x80, kRouteBits = 0x8f, kSmiLock = 0x10;
// Interrupts 0, 1, 2, 8 and 13 cannot be routed to (13.1.17).
constexpr uint32_t kRoutable = 0xdef8;

// 13.8.3.
constexpr unsigned kGpe0 = 0x20, kGpeBytes = 16, kSmiEnable = 0x30, kSmiStatus = 0x34, kTco = 0x60;
constexpr uint8_t kGlobalSmi = 0x01, kApmSmi = 0x20;  // in the first byte of SMI_EN and SMI_STS
constexpr uint8_t kTcoSmi = 0x20;                     // in the second

// What the FADT gives as ACPI_ENABLE and ACPI_DISABLE.
constexpr uint8_t kAcpiEnable = 0x02, kAcpiDisable = 0x03;

// 13.7.5.
constexpr uint8_t kResetCpu = 0x04, kResetHard = 0x02, kResetFull = 0x08;

// 10.1: the block's registers that are kept start at 0x3000.
constexpr uint64_t kChipConfig = 0x3000;
constexpr uint64_t kNoReboot = 0x3410 - kChipConfig;
constexpr uint8_t kNoRebootBit = 0x20;

}  // namespace

Ich9Lpc::Ich9Lpc(Wiring wiring)
    : PciFunction(
          {.vendor = 0x8086, .device = 0x2918, .revision = 2, .class_code = 0x060100, .header_type = 0x80}),
      wiring_(std::move(wiring)),
      acpi_({.clock = wiring_.clock,
             .machine = wiring_.machine,
             .sci =
                 [this](bool level) {
                   sci_ = level;
                   drive();
                 },
             .gpe_bytes = kGpeBytes}),
      tco_({.clock = wiring_.clock,
            .first_time =
                [this] {
                  pm_[kSmiStatus + 1] |= kTcoSmi;
                  const bool on = (pm_[kSmiEnable + 1] & kTcoSmi) != 0 && (pm_[kSmiEnable] & kGlobalSmi) != 0;
                  if (on && wiring_.machine != nullptr) wiring_.machine->raise_smi();
                },
            .second_time =
                [this] {
                  if ((chip_config_[kNoReboot] & kNoRebootBit) == 0 && wiring_.reset) wiring_.reset(true);
                }}) {
  using namespace bus::pci;
  define16(kCommand, kCommandIo | kCommandMemory | kCommandMaster, kCommandSerr);
  define16(kStatus, kStatusDevselMedium);
  define32(kPmBase, 1, 0x0000ff80);
  define8(kAcpiControl, 0, kAcpiEnabled | 0x07);
  for (unsigned i = 0; i < 4; ++i) {
    define8(kPirqA + i, kRouteOff, kRouteBits);
    define8(kPirqE + i, kRouteOff, kRouteBits);
  }
  define8(0x64, 0x10, 0xdf);  // serial interrupts
  define16(0x80, 0, 0x3fff);  // LPC decode ranges and enables
  define16(0x82, 0, 0x3fff);
  for (unsigned offset = 0x84; offset < 0x94; offset += 4) define32(offset, 0, 0x00fcfffd);
  define16(kPmConfig1, 0, 0x06d7);
  define8(0xdc, 0x20, 0x03);  // BIOS control
  define32(kRcba, 0, 0xffffc001);
}

void Ich9Lpc::reset(bus::ResetKind kind) {
  define16(kPmConfig1, 0, 0x06d7);
  reset_control_ = apm_control_ = apm_status_ = 0;
  pm_ = {};
  if (!wiring_.smm) pm_[kSmiEnable] = kApmSmi;
  chip_config_ = {};
  // 10.1.36 and on: each device's pins INTA..INTD are PIRQA..PIRQD.
  for (unsigned offset : {0x140u, 0x142u, 0x144u, 0x146u, 0x148u, 0x14cu, 0x150u}) {
    chip_config_[offset] = 0x10;
    chip_config_[offset + 1] = 0x32;
  }
  if (!wiring_.tco_reboots) chip_config_[kNoReboot] = kNoRebootBit;
  tco_.reset();
  PciFunction::reset(kind);
  acpi_.reset();
  drive();
}

void Ich9Lpc::state(bus::StateVisitor& v) {
  PciFunction::state(v);
  acpi_.state(v);
  tco_.state(v);
  v.bytes("pm", pm_);
  v.bytes("chip_config", chip_config_);
  for (bool& level : pirq_) v.field("pirq", level);
  v.field("reset_control", reset_control_);
  v.field("apm_control", apm_control_);
  v.field("apm_status", apm_status_);
  if (v.loading()) drive();
}

uint16_t Ich9Lpc::base() const {
  return (config8(kAcpiControl) & kAcpiEnabled) != 0 ? config16(kPmBase) & 0xff80 : 0;
}

// 13.1.14.
unsigned Ich9Lpc::sci_gsi() const {
  constexpr unsigned kChoices[8] = {9, 10, 11, 9, 20, 21, 22, 23};
  return kChoices[config8(kAcpiControl) & 7];
}

void Ich9Lpc::update_mappings() {
  PciFunction::update_mappings();
  if (bus() == nullptr) return;
  pm_window_.place(bus()->ports(), base(), kPmSize);
  const uint32_t rcba = config32(kRcba);
  rcrb_window_.place(bus()->memory(), (rcba & 1) != 0 ? rcba & 0xffffc000 : 0, kRcrbSize);
}

void Ich9Lpc::config_written(unsigned offset, unsigned size) {
  const unsigned end = offset + size;
  if (offset <= kAcpiControl && end > kPmBase) update_mappings();
  if (offset < kRcba + 4 && end > kRcba) update_mappings();
  if (end > kAcpiControl && offset < kPirqE + 4) drive();
  // 13.8.1.1: until the next reset the lock stays, and SMIs stay on.
  if (offset <= kPmConfig1 && end > kPmConfig1 && (config8(kPmConfig1) & kSmiLock) != 0)
    define8(kPmConfig1, config8(kPmConfig1), 0xc7);
}

void Ich9Lpc::set_irq(unsigned pin, bool level) {
  pirq_[pin & 7] = level;
  drive();
}

void Ich9Lpc::drive() {
  uint32_t levels = 0;
  for (unsigned i = 0; i < pirq_.size(); ++i) {
    if (!pirq_[i]) continue;
    levels |= 1u << (16 + i);
    const uint8_t route = config8(i < 4 ? kPirqA + i : kPirqE + i - 4);
    if ((route & kRouteOff) == 0) levels |= (1u << (route & 15)) & kRoutable;
  }
  if (sci_) levels |= 1u << sci_gsi();
  const uint32_t changed = levels ^ driven_;
  driven_ = levels;
  if (wiring_.gsi == nullptr) return;
  for (unsigned gsi = 0; gsi < 24; ++gsi) {
    if ((changed >> gsi & 1) != 0) wiring_.gsi->set_irq(gsi, (levels >> gsi & 1) != 0);
  }
}

uint8_t Ich9Lpc::read_pm(unsigned offset) const {
  if (offset >= kGpe0 && offset < kGpe0 + kGpeBytes) return acpi_.read_gpe(offset - kGpe0);
  return pm_[offset];
}

void Ich9Lpc::write_pm(unsigned offset, uint8_t value) {
  if (offset >= kGpe0 && offset < kGpe0 + kGpeBytes) return acpi_.write_gpe(offset - kGpe0, value);
  if (offset >= kSmiStatus && offset < kSmiStatus + 4) {
    pm_[offset] = static_cast<uint8_t>(pm_[offset] & ~value);
  } else if (offset == kSmiEnable) {
    const bool locked = (config8(kPmConfig1) & kSmiLock) != 0;
    if (locked) value = static_cast<uint8_t>((value & ~kGlobalSmi) | (pm_[offset] & kGlobalSmi));
    if (!wiring_.smm) value |= kApmSmi;
    pm_[offset] = value;
  } else if (offset > kSmiEnable && offset < kSmiEnable + 4) {
    pm_[offset] = value;
  }
}

uint64_t Ich9Lpc::Registers::io_read(uint64_t offset, unsigned size) {
  if (offset + size <= AcpiPm::kSize) return owner.acpi_.read(offset, size);
  if (offset >= kTco) return owner.tco_.read(offset - kTco, size);
  uint64_t value = 0;
  for (unsigned i = 0; i < size; ++i)
    value |= uint64_t{owner.read_pm(static_cast<unsigned>(offset) + i)} << (8 * i);
  return value;
}

void Ich9Lpc::Registers::io_write(uint64_t offset, unsigned size, uint64_t value) {
  if (offset + size <= AcpiPm::kSize) return owner.acpi_.write(offset, size, value);
  if (offset >= kTco) return owner.tco_.write(offset - kTco, size, value);
  for (unsigned i = 0; i < size; ++i)
    owner.write_pm(static_cast<unsigned>(offset) + i, static_cast<uint8_t>(value >> (8 * i)));
}

uint64_t Ich9Lpc::Apm::io_read(uint64_t offset, unsigned) {
  return offset == 0 ? owner.apm_control_ : owner.apm_status_;
}

void Ich9Lpc::Apm::io_write(uint64_t offset, unsigned, uint64_t value) {
  if (offset != 0) {
    owner.apm_status_ = static_cast<uint8_t>(value);
  } else {
    owner.apm_written(static_cast<uint8_t>(value));
  }
}

void Ich9Lpc::apm_written(uint8_t command) {
  apm_control_ = command;
  if (command == kAcpiEnable || command == kAcpiDisable) acpi_.enable_sci(command == kAcpiEnable);
  if ((pm_[kSmiEnable] & kApmSmi) == 0) return;
  pm_[kSmiStatus] |= kApmSmi;
  if (wiring_.smm && wiring_.machine != nullptr) wiring_.machine->raise_smi();
}

uint64_t Ich9Lpc::ResetPort::io_read(uint64_t, unsigned) {
  return owner.reset_control_;
}

void Ich9Lpc::ResetPort::io_write(uint64_t, unsigned, uint64_t value) {
  const uint8_t before = owner.reset_control_;
  const uint8_t now = static_cast<uint8_t>(value);
  owner.reset_control_ = static_cast<uint8_t>(now & (kResetHard | kResetFull));
  // The reset begins when bit 2 goes from 0 to 1; since that resets this register too, it always does.
  if ((now & kResetCpu) != 0 && (before & kResetCpu) == 0 && owner.wiring_.reset)
    owner.wiring_.reset((now & kResetHard) != 0);
}

uint64_t Ich9Lpc::Rcrb::io_read(uint64_t offset, unsigned size) {
  uint64_t value = 0;
  for (unsigned i = 0; i < size; ++i) {
    const uint64_t at = offset + i;
    const bool kept = at >= kChipConfig && at - kChipConfig < owner.chip_config_.size();
    if (kept) value |= uint64_t{owner.chip_config_[at - kChipConfig]} << (8 * i);
  }
  return value;
}

void Ich9Lpc::Rcrb::io_write(uint64_t offset, unsigned size, uint64_t value) {
  for (unsigned i = 0; i < size; ++i) {
    const uint64_t at = offset + i;
    if (at < kChipConfig || at - kChipConfig >= owner.chip_config_.size()) continue;
    owner.chip_config_[at - kChipConfig] = static_cast<uint8_t>(value >> (8 * i));
  }
}

}  // namespace rhea::devices
