#include "devices/bridge/piix4_pm.h"

#include "bus/pci/pci_bus.h"

namespace rhea::devices {

namespace {

// Configuration space, 7.1.
constexpr unsigned kPmBase = 0x40, kDeviceActivityB = 0x58, kPmMisc = 0x80, kSmbusBase = 0x90,
                   kSmbusConfig = 0xd2;
constexpr uint64_t kWindowSize = 64;       // of the power management and of the SMBus ports
constexpr uint32_t kApmEnable = 1u << 25;  // in DEVACTB: a write to port 0xB2 raises an SMI

// What the FADT gives as ACPI_ENABLE and ACPI_DISABLE.
constexpr uint8_t kAcpiEnable = 0xf1, kAcpiDisable = 0xf0;

}  // namespace

Piix4Pm::Piix4Pm(const Wiring& wiring)
    : PciFunction(
          {.vendor = 0x8086, .device = 0x7113, .revision = 3, .class_code = 0x068000, .interrupt_pin = 1}),
      wiring_(wiring),
      acpi_({.clock = wiring.clock,
             .machine = wiring.machine,
             .sci = [this](bool level) { wiring_.sci.set(level); },
             .gpe_bytes = kGpeBytes}) {
  using namespace bus::pci;
  define16(kCommand, 0, kCommandIo | kCommandMaster);
  define16(bus::pci::kStatus, kStatusFastBackToBack | kStatusDevselMedium);
  define32(kPmBase, 1, 0x0000ffc0);
  for (unsigned offset = 0x44; offset < 0x80; offset += 4) define32(offset, 0, 0xffffffff);
  define8(kPmMisc, 0, 0x01);
  define32(kSmbusBase, 1, 0x0000fff0);
  define32(kSmbusConfig & ~3u, 0, 0xffff0000);
}

void Piix4Pm::reset(bus::ResetKind kind) {
  acpi_.reset();
  apm_control_ = apm_status_ = 0;
  smbus_.reset();
  PciFunction::reset(kind);
}

void Piix4Pm::state(bus::StateVisitor& v) {
  PciFunction::state(v);
  acpi_.state(v);
  v.field("apm_control", apm_control_);
  v.field("apm_status", apm_status_);
  smbus_.state(v);
}

void Piix4Pm::update_mappings() {
  PciFunction::update_mappings();
  if (bus() == nullptr) return;
  pm_window_.place(bus()->ports(), base(), kWindowSize);
  const bool smbus_on = (config8(kSmbusConfig) & 1) != 0;
  smbus_window_.place(bus()->ports(), smbus_on ? config16(kSmbusBase) & 0xffc0 : 0, kWindowSize);
}

uint16_t Piix4Pm::base() const {
  return (config8(kPmMisc) & 1) != 0 ? config16(kPmBase) & 0xffc0 : 0;
}

void Piix4Pm::config_written(unsigned offset, unsigned) {
  if (offset >= kPmBase) update_mappings();
}

// Registers of the chip without a function here read as zero.
uint64_t Piix4Pm::Registers::io_read(uint64_t offset, unsigned size) {
  return owner.acpi_.read(offset, size);
}

void Piix4Pm::Registers::io_write(uint64_t offset, unsigned size, uint64_t value) {
  owner.acpi_.write(offset, size, value);
}

uint64_t Piix4Pm::Apm::io_read(uint64_t offset, unsigned) {
  return offset == 0 ? owner.apm_control_ : owner.apm_status_;
}

void Piix4Pm::Apm::io_write(uint64_t offset, unsigned, uint64_t value) {
  if (offset != 0) {
    owner.apm_status_ = static_cast<uint8_t>(value);
    return;
  }
  owner.apm_written(static_cast<uint8_t>(value));
}

void Piix4Pm::apm_written(uint8_t command) {
  apm_control_ = command;
  if (command == kAcpiEnable || command == kAcpiDisable) acpi_.enable_sci(command == kAcpiEnable);
  if ((config32(kDeviceActivityB) & kApmEnable) != 0 && wiring_.machine != nullptr)
    wiring_.machine->raise_smi();
}

uint64_t Piix4Pm::Gpe::io_read(uint64_t offset, unsigned) {
  return owner.acpi_.read_gpe(offset);
}

void Piix4Pm::Gpe::io_write(uint64_t offset, unsigned, uint64_t value) {
  owner.acpi_.write_gpe(offset, static_cast<uint8_t>(value));
}

}  // namespace rhea::devices
