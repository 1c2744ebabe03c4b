#include "devices/ata/ahci.h"

#include "base/log.h"
#include "bus/pci/firmware_path.h"
#include "bus/pci/pci_bus.h"

namespace rhea::devices {

using namespace ahci;

namespace {

constexpr unsigned kMsiAt = 0x80, kSataCapability = 0xa8, kSataCapabilityBytes = 8;
constexpr uint8_t kCapSata = 0x12;
constexpr unsigned kIndexBar = 4, kMemoryBar = 5;
constexpr uint64_t kIndexAt = 0x10, kDataAt = 0x14;
constexpr uint32_t kCapabilities = (Ahci::kPorts - 1) | (kSlots - 1) << kCapSlotsShift | kCapAhciOnly |
                                   2u << kCapSpeedShift | kCapNcq | kCap64;
constexpr uint32_t kVersion13 = 0x00010300;

}  // namespace

Ahci::Ahci()
    : PciFunction(
          {.vendor = 0x8086, .device = 0x2922, .revision = 2, .class_code = 0x010601, .interrupt_pin = 1}),
      msi_(*this, kMsiAt, {.vectors = 1, .wide = true}) {
  // ICH9 15.1.38: where the index/data pair stands (offset in dwords, BAR 4).
  add_capability(kCapSata, kSataCapability, kSataCapabilityBytes);
  define16(kSataCapability + 2, 0x0010);
  define32(kSataCapability + 4, static_cast<uint32_t>(kIndexAt / 4) << 4 | (kIndexBar + 4));
  add_bar(kIndexBar, bus::pci::BarKind::Io, kIndexBytes, index_ports_);
  add_bar(kMemoryBar, bus::pci::BarKind::Memory32, kMemoryBytes, *this);
  define8(0x90, 0x40);  // MAP: AHCI mode, as firmware has it set
  for (unsigned i = 0; i < kPorts; ++i) {
    ports_.push_back(std::make_unique<AhciPort>(
        AhciPort::Wiring{.ram = ram_,
                         .changed = [this](bool event) { renew_interrupt(event); },
                         .boot_path = [this] { return bus::pci::firmware_path(*this); },
                         .number = i}));
  }
  control_ = kAhciEnable;
}

void Ahci::reset_controller() {
  control_ = kAhciEnable;
  interrupts_ = 0;
  for (auto& port : ports_) port->reset();
  interrupts_ = 0;
  set_intx(false);
}

void Ahci::reset(bus::ResetKind kind) {
  reset_controller();
  index_ = 0;
  PciFunction::reset(kind);
  renew_ram();
}

void Ahci::state(bus::StateVisitor& v) {
  PciFunction::state(v);
  if (v.loading()) renew_ram();
  v.field("control", control_);
  v.field("interrupts", interrupts_);
  v.field("index", index_);
  for (auto& port : ports_) {
    v.enter("port");
    port->state(v);
    v.leave();
  }
}

void Ahci::config_written(unsigned offset, unsigned size) {
  if (offset < bus::pci::kStatus) renew_ram();
  msi_.config_written(offset, size);
}

void Ahci::renew_ram() {
  const bool master = bus() != nullptr && (config16(bus::pci::kCommand) & bus::pci::kCommandMaster) != 0;
  ram_.attach(master ? &bus()->memory() : nullptr);
}

// 3.1.3 and 10.7.2: a port's bit stands until it is written, and comes again while the port wants attention.
// A message goes out for each new event, and when what is left after a write still wants attention.
void Ahci::renew_interrupt(bool event) {
  for (unsigned i = 0; i < ports_.size(); ++i) {
    if (ports_[i]->interrupting()) interrupts_ |= 1u << i;
  }
  const bool pending = interrupts_ != 0 && (control_ & kInterruptEnable) != 0;
  if (msi_.enabled()) {
    set_intx(false);
    if (pending && event) msi_.notify(0);
  } else {
    set_intx(pending);
  }
}

uint32_t Ahci::read(unsigned offset) {
  if (offset >= kFirstPort) {
    const unsigned number = (offset - kFirstPort) / kPortBytes;
    return number < ports_.size() ? ports_[number]->read((offset - kFirstPort) % kPortBytes) : 0;
  }
  switch (offset) {
    case kCap: return kCapabilities;
    case kControl: return control_;
    case kInterrupts: return interrupts_;
    case kPortsImplemented: return (1u << kPorts) - 1;
    case kVersion: return kVersion13;
    default: return 0;
  }
}

void Ahci::write(unsigned offset, uint32_t value) {
  if (offset >= kFirstPort) {
    const unsigned number = (offset - kFirstPort) / kPortBytes;
    if (number < ports_.size()) ports_[number]->write((offset - kFirstPort) % kPortBytes, value);
    return;
  }
  switch (offset) {
    case kControl:
      if ((value & kHbaReset) != 0) {
        reset_controller();
        break;
      }
      control_ = kAhciEnable | (value & kInterruptEnable);
      renew_interrupt(true);
      break;
    case kInterrupts:
      interrupts_ &= ~value;
      renew_interrupt(true);
      break;
    default: guest_error("ahci: write of {:#x} to register {:#x}", value, offset); break;
  }
}

uint64_t Ahci::io_read(uint64_t offset, unsigned) {
  return read(static_cast<unsigned>(offset) & ~3u);
}

void Ahci::io_write(uint64_t offset, unsigned, uint64_t value) {
  if (offset % 4 == 0) write(static_cast<unsigned>(offset), static_cast<uint32_t>(value));
}

uint64_t Ahci::IndexPorts::io_read(uint64_t offset, unsigned) {
  if (offset == kIndexAt) return ahci.index_;
  return offset == kDataAt ? ahci.read(ahci.index_) : 0;
}

void Ahci::IndexPorts::io_write(uint64_t offset, unsigned, uint64_t value) {
  if (offset == kIndexAt) ahci.index_ = static_cast<uint32_t>(value) & (kMemoryBytes - 4);
  if (offset == kDataAt) ahci.write(ahci.index_, static_cast<uint32_t>(value));
}

}  // namespace rhea::devices
