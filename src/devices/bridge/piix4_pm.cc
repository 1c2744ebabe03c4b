#include "devices/bridge/piix4_pm.h"

#include "bus/pci/pci_bus.h"
#include "devices/bridge/acpi_timer.h"

namespace rhea::devices {

namespace {

// Configuration space, 7.1.
constexpr unsigned kPmBase = 0x40, kDeviceActivityB = 0x58, kPmMisc = 0x80, kSmbusBase = 0x90,
                   kSmbusConfig = 0xd2;
constexpr uint32_t kApmEnable = 1u << 25;  // in DEVACTB: a write to port 0xB2 raises an SMI

// I/O registers, 7.2.
constexpr unsigned kStatus = 0, kEnable = 2, kControl = 4, kTimer = 8;
// ACPI 4.8.3.1.
constexpr uint16_t kTimerEvent = 0x0001, kGlobalEvent = 0x0020, kPowerButton = 0x0100, kRtc = 0x0400,
                   kWake = 0x8000;
constexpr uint16_t kStatusBits = kTimerEvent | 0x0010 | kGlobalEvent | kPowerButton | kRtc | kWake;
constexpr uint16_t kEnableBits = kTimerEvent | kGlobalEvent | kPowerButton | kRtc;
// ACPI 4.8.3.2.
constexpr uint16_t kSciEnable = 0x0001, kSleepEnable = 0x2000, kControlBits = 0x1c03;
// The board's sleep types, as its DSDT says: \_S5 is 0, \_S3 is 1, \_S4 is 2.
constexpr unsigned kTypeOff = 0, kTypeSuspend = 1, kTypeHibernate = 2;

// What the FADT gives as ACPI_ENABLE and ACPI_DISABLE.
constexpr uint8_t kAcpiEnable = 0xf1, kAcpiDisable = 0xf0;

}  // namespace

Piix4Pm::Piix4Pm(const Wiring& wiring)
    : PciFunction(
          {.vendor = 0x8086, .device = 0x7113, .revision = 3, .class_code = 0x068000, .interrupt_pin = 1}),
      wiring_(wiring) {
  using namespace bus::pci;
  define16(kCommand, 0, kCommandIo | kCommandMaster);
  define16(bus::pci::kStatus, kStatusFastBackToBack | kStatusDevselMedium);
  define32(kPmBase, 1, 0x0000ffc0);
  for (unsigned offset = 0x44; offset < 0x80; offset += 4) define32(offset, 0, 0xffffffff);
  define8(kPmMisc, 0, 0x01);
  define32(kSmbusBase, 1, 0x0000fff0);
  define32(kSmbusConfig & ~3u, 0, 0xffff0000);
  timer_ = wiring_.clock.make_timer([this] {
    catch_up();
    update();
  });
}

Piix4Pm::~Piix4Pm() {
  place(pm_window_, std::nullopt);
  place(smbus_window_, std::nullopt);
}

void Piix4Pm::reset(bus::ResetKind kind) {
  status_ = enable_ = control_ = 0;
  gpe_bytes_ = {};
  apm_control_ = apm_status_ = 0;
  seen_half_ = acpi_timer::ticks_at(wiring_.clock.now_ns()) / acpi_timer::kHalf;
  smbus_.reset();
  PciFunction::reset(kind);
  update();
}

void Piix4Pm::state(bus::StateVisitor& v) {
  PciFunction::state(v);
  v.field("status", status_);
  v.field("enable", enable_);
  v.field("control", control_);
  v.bytes("gpe", gpe_bytes_);
  v.field("apm_control", apm_control_);
  v.field("apm_status", apm_status_);
  v.field("seen_half", seen_half_);
  smbus_.state(v);
  if (v.loading()) update();
}

void Piix4Pm::place(Window& window, std::optional<uint64_t> at) {
  if (bus() == nullptr || (window.map.has_value() == at.has_value() && (!at || window.at == *at))) return;
  if (window.map) bus()->ports().unmap(*window.map);
  window.map.reset();
  if (!at) return;
  window.at = *at;
  auto mapped = bus()->ports().map_io(Gpa{*at}, window.size, window.handler);
  if (mapped) window.map = *mapped;
}

void Piix4Pm::update_mappings() {
  PciFunction::update_mappings();
  const uint32_t pm = config32(kPmBase) & 0xffc0;
  const bool pm_on = (config8(kPmMisc) & 1) != 0 && pm != 0;
  place(pm_window_, pm_on ? std::optional<uint64_t>(pm) : std::nullopt);
  const uint32_t smbus = config32(kSmbusBase) & 0xffc0;
  const bool smbus_on = (config8(kSmbusConfig) & 1) != 0 && smbus != 0;
  place(smbus_window_, smbus_on ? std::optional<uint64_t>(smbus) : std::nullopt);
}

void Piix4Pm::config_written(unsigned offset, unsigned) {
  if (offset >= kPmBase) update_mappings();
}

void Piix4Pm::catch_up() {
  const uint64_t half = acpi_timer::ticks_at(wiring_.clock.now_ns()) / acpi_timer::kHalf;
  if (half != seen_half_) status_ |= kTimerEvent;
  seen_half_ = half;
}

void Piix4Pm::update() {
  bool level = (status_ & enable_ & kEnableBits) != 0;
  for (unsigned i = 0; i < kGpeBytes / 2; ++i)
    level = level || (gpe_bytes_[i] & gpe_bytes_[i + kGpeBytes / 2]) != 0;
  wiring_.sci.set(level && (control_ & kSciEnable) != 0);
  if ((enable_ & kTimerEvent) != 0 && (status_ & kTimerEvent) == 0)
    timer_->arm(acpi_timer::time_of((seen_half_ + 1) * acpi_timer::kHalf));
  else
    timer_->cancel();
}

void Piix4Pm::press_power_button() {
  status_ |= kPowerButton;
  update();
}

void Piix4Pm::wake() {
  status_ |= kWake | kPowerButton;
  update();
}

void Piix4Pm::raise_gpe(unsigned event) {
  gpe_bytes_[(event / 8) & 1] = static_cast<uint8_t>(gpe_bytes_[(event / 8) & 1] | 1u << event % 8);
  update();
}

uint8_t Piix4Pm::read_byte(unsigned offset) {
  const unsigned shift = 8 * (offset & 1);
  switch (offset & ~1u) {
    case kStatus: catch_up(); return static_cast<uint8_t>(status_ >> shift);
    case kEnable: return static_cast<uint8_t>(enable_ >> shift);
    case kControl: return static_cast<uint8_t>(control_ >> shift);
    default: return 0;  // registers of the chip without a function here read as zero
  }
}

void Piix4Pm::write_byte(unsigned offset, uint8_t value) {
  const unsigned shift = 8 * (offset & 1);
  const unsigned wide = unsigned{value} << shift;
  const unsigned keep = shift == 0 ? 0xff00 : 0x00ff;
  switch (offset & ~1u) {
    case kStatus:
      catch_up();
      status_ = static_cast<uint16_t>(status_ & ~(wide & kStatusBits));
      break;
    case kEnable:
      catch_up();
      enable_ = static_cast<uint16_t>((enable_ & keep) | (wide & kEnableBits));
      break;
    case kControl:
      control_ = static_cast<uint16_t>((control_ & keep) | (wide & (kControlBits | kSleepEnable)));
      break;
    default: break;
  }
}

void Piix4Pm::control_written() {
  if ((control_ & kSleepEnable) == 0) return;
  control_ = static_cast<uint16_t>(control_ & kControlBits);
  const unsigned type = (control_ >> 10) & 7;
  if (wiring_.machine == nullptr) return;
  if (type == kTypeOff || type == kTypeHibernate) wiring_.machine->power_off();
  if (type == kTypeSuspend) wiring_.machine->suspend_to_ram();
}

uint64_t Piix4Pm::Registers::io_read(uint64_t offset, unsigned size) {
  uint64_t value = 0;
  const uint64_t ticks = acpi_timer::ticks_at(owner.wiring_.clock.now_ns()) & acpi_timer::kMask;
  for (unsigned i = 0; i < size; ++i) {
    const unsigned at = static_cast<unsigned>(offset) + i;
    const bool timer = at >= kTimer && at < kTimer + 4;
    value |= (timer ? ticks >> (8 * (at - kTimer)) & 0xff : uint64_t{owner.read_byte(at)}) << (8 * i);
  }
  return value;
}

void Piix4Pm::Registers::io_write(uint64_t offset, unsigned size, uint64_t value) {
  bool control = false;
  for (unsigned i = 0; i < size; ++i) {
    const unsigned at = static_cast<unsigned>(offset) + i;
    owner.write_byte(at, static_cast<uint8_t>(value >> (8 * i)));
    control = control || at == kControl + 1;
  }
  owner.update();
  if (control) owner.control_written();
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
  // The board does in hardware what its firmware's SMI handler would do for these two.
  if (command == kAcpiEnable) control_ |= kSciEnable;
  if (command == kAcpiDisable) control_ = static_cast<uint16_t>(control_ & ~kSciEnable);
  update();
  if ((config32(kDeviceActivityB) & kApmEnable) != 0 && wiring_.machine != nullptr)
    wiring_.machine->raise_smi();
}

uint64_t Piix4Pm::Gpe::io_read(uint64_t offset, unsigned) {
  return offset < kGpeBytes ? owner.gpe_bytes_[offset] : 0xff;
}

void Piix4Pm::Gpe::io_write(uint64_t offset, unsigned, uint64_t value) {
  if (offset >= kGpeBytes) return;
  uint8_t& cell = owner.gpe_bytes_[offset];
  const uint8_t byte = static_cast<uint8_t>(value);
  cell = offset < kGpeBytes / 2 ? static_cast<uint8_t>(cell & ~byte) : byte;  // status bits clear on ones
  owner.update();
}

}  // namespace rhea::devices
