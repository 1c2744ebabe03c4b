#include "bus/pci/pci_function.h"

#include "base/check.h"
#include "bus/pci/pci_bus.h"

namespace rhea::bus::pci {

namespace {

// Fixed devices of the board (I/O APIC, BIOS ROM, ISA ports) and RAM win over whatever a guest puts on top of
// them.
constexpr int kBarPriority = -1;

constexpr uint32_t kRomEnable = 1;

bool is_wide(BarKind kind) {
  return kind == BarKind::Memory64 || kind == BarKind::Prefetch64;
}

}  // namespace

PciFunction::PciFunction(const Identity& identity) {
  define16(kVendorId, identity.vendor);
  define16(kDeviceId, identity.device);
  define16(
      kCommand, 0,
      kCommandIo | kCommandMemory | kCommandMaster | kCommandParity | kCommandSerr | kCommandIntxDisable);
  define_clear16(kStatus, kStatusErrors);
  define8(kRevisionId, identity.revision);
  define8(kClassCode, static_cast<uint8_t>(identity.class_code));
  define16(kClassCode + 1, static_cast<uint16_t>(identity.class_code >> 8));
  define8(kCacheLineSize, 0, 0xff);
  define8(kHeaderType, identity.header_type);
  if ((identity.header_type & 0x7f) == 0) {
    define16(kSubsystemVendorId, identity.subsystem_vendor);
    define16(kSubsystemId, identity.subsystem);
  }
  define8(kInterruptLine, 0, 0xff);
  define8(kInterruptPin, identity.interrupt_pin);
}

PciFunction::~PciFunction() {
  PciBus* bus = bus_;
  bus_gone();
  if (bus != nullptr) bus->detach(*this);
}

void PciFunction::bus_gone() {
  for (Bar& bar : bars_) place(bar, std::nullopt);
  bus_ = nullptr;
}

void PciFunction::attached(PciBus& bus, unsigned devfn) {
  CHECK(bus_ == nullptr);
  bus_ = &bus;
  devfn_ = devfn;
}

uint16_t PciFunction::config16(unsigned offset) const {
  return static_cast<uint16_t>(config_[offset] | config_[offset + 1] << 8);
}

uint32_t PciFunction::config32(unsigned offset) const {
  return config16(offset) | static_cast<uint32_t>(config16(offset + 2)) << 16;
}

void PciFunction::set_config16(unsigned offset, uint16_t value) {
  config_[offset] = static_cast<uint8_t>(value);
  config_[offset + 1] = static_cast<uint8_t>(value >> 8);
}

void PciFunction::set_config32(unsigned offset, uint32_t value) {
  set_config16(offset, static_cast<uint16_t>(value));
  set_config16(offset + 2, static_cast<uint16_t>(value >> 16));
}

void PciFunction::define8(unsigned offset, uint8_t value, uint8_t writable) {
  CHECK(offset < config_size());
  config_[offset] = defaults_[offset] = value;
  writable_[offset] = writable;
}

void PciFunction::define16(unsigned offset, uint16_t value, uint16_t writable) {
  define8(offset, static_cast<uint8_t>(value), static_cast<uint8_t>(writable));
  define8(offset + 1, static_cast<uint8_t>(value >> 8), static_cast<uint8_t>(writable >> 8));
}

void PciFunction::define32(unsigned offset, uint32_t value, uint32_t writable) {
  define16(offset, static_cast<uint16_t>(value), static_cast<uint16_t>(writable));
  define16(offset + 2, static_cast<uint16_t>(value >> 16), static_cast<uint16_t>(writable >> 16));
}

void PciFunction::define_clear16(unsigned offset, uint16_t write_one_to_clear) {
  clear_[offset] = static_cast<uint8_t>(write_one_to_clear);
  clear_[offset + 1] = static_cast<uint8_t>(write_one_to_clear >> 8);
}

void PciFunction::add_capability(uint8_t id, unsigned offset, unsigned size) {
  CHECK(offset >= 0x40 && offset % 4 == 0 && offset + size <= kConfigSize);
  define8(offset, id);
  define8(offset + 1, defaults_[kCapabilities]);
  define8(kCapabilities, static_cast<uint8_t>(offset));
  const uint16_t status = static_cast<uint16_t>(config16(kStatus) | kStatusCapabilities);
  define16(kStatus, status);
}

void PciFunction::extend_config() {
  for (std::vector<uint8_t>* bytes : {&config_, &defaults_, &writable_, &clear_})
    bytes->resize(kExtendedConfigSize);
}

// PCI Express Base 3.0, 7.9.3: the header holds id, version and the offset of the next one.
void PciFunction::add_extended_capability(uint16_t id, unsigned version, unsigned offset, unsigned size) {
  CHECK(offset >= kConfigSize && offset % 4 == 0 && offset + size <= config_size());
  CHECK(last_extended_ != 0 || offset == kConfigSize);
  define32(offset, id | version << 16);
  if (last_extended_ != 0) define32(last_extended_, config32(last_extended_) | offset << 20);
  last_extended_ = offset;
}

uint32_t PciFunction::config_read(unsigned offset, unsigned size) {
  uint32_t value = 0;
  for (unsigned i = 0; i < size; ++i) value |= static_cast<uint32_t>(config_[offset + i]) << (8 * i);
  return value;
}

void PciFunction::config_write(unsigned offset, unsigned size, uint32_t value) {
  for (unsigned i = 0; i < size; ++i) {
    const uint8_t byte = static_cast<uint8_t>(value >> (8 * i));
    const uint8_t mask = writable_[offset + i];
    uint8_t& cell = config_[offset + i];
    cell = static_cast<uint8_t>((cell & ~mask) | (byte & mask));
    cell = static_cast<uint8_t>(cell & ~(byte & clear_[offset + i]));
  }
  const bool header = offset < kInterruptLine;
  if (header && (offset >= kBar0 || offset < kStatus)) update_mappings();
  if (offset < kStatus) drive_pin();
  config_written(offset, size);
}

void PciFunction::reset(ResetKind) {
  config_ = defaults_;
  intx_ = false;
  drive_pin();
  update_mappings();
}

void PciFunction::state(StateVisitor& v) {
  v.enter("pci");
  std::vector<uint8_t> loaded = config_;
  v.bytes("config", loaded);
  v.field("intx", intx_);
  v.leave();
  if (!v.loading()) return;
  // What the guest cannot write stays what this function is, whatever a file says; devices keep their own
  // registers above the header in config space, so there everything is taken.
  for (unsigned i = 0; i < config_size(); ++i) {
    const bool status = i == kStatus || i == kStatus + 1;
    const uint8_t mask = i >= 0x40 || status ? 0xff : writable_[i];
    config_[i] = static_cast<uint8_t>((config_[i] & ~mask) | (loaded[i] & mask));
  }
  drive_pin();
  update_mappings();
}

void PciFunction::set_intx(bool level) {
  intx_ = level;
  drive_pin();
}

void PciFunction::drive_pin() {
  const unsigned status = config16(kStatus) & ~static_cast<unsigned>(kStatusInterrupt);
  set_config16(kStatus, static_cast<uint16_t>(intx_ ? status | kStatusInterrupt : status));
  const bool level = intx_ && (config16(kCommand) & kCommandIntxDisable) == 0;
  if (level == driven_ || bus_ == nullptr || config_[kInterruptPin] == 0) return;
  driven_ = level;
  bus_->set_pin(devfn_ >> 3, static_cast<unsigned>(config_[kInterruptPin] - 1) & 3, level);
}

bool PciFunction::dma_read(uint64_t address, std::span<uint8_t> to) {
  if (bus_ == nullptr || (config16(kCommand) & kCommandMaster) == 0) return false;
  return bus_->memory().read(address, to);
}

bool PciFunction::dma_write(uint64_t address, std::span<const uint8_t> from) {
  if (bus_ == nullptr || (config16(kCommand) & kCommandMaster) == 0) return false;
  return bus_->memory().write(address, from);
}

void PciFunction::send_message(uint64_t address, uint32_t data) {
  if (bus_ == nullptr || (config16(kCommand) & kCommandMaster) == 0) return;
  bus_->send_message(address, data);
}

unsigned PciFunction::bar_register(unsigned index) const {
  if (index != kRomBar) return kBar0 + 4 * index;
  return (defaults_[kHeaderType] & 0x7f) == 0 ? kExpansionRom : kBridgeRom;
}

void PciFunction::define_bar(unsigned index, BarKind kind, uint64_t size) {
  CHECK(index < kBars && !bars_[index].used && (size & (size - 1)) == 0 &&
        size >= (kind == BarKind::Io ? 4 : 16));
  CHECK(!is_wide(kind) || index + 1 < kRomBar);
  bars_[index].used = true;
  bars_[index].kind = kind;
  bars_[index].size = size;
  const uint64_t mask = ~(size - 1);
  const unsigned at = bar_register(index);
  if (index == kRomBar) {
    define32(at, 0, static_cast<uint32_t>(mask) | kRomEnable);
    return;
  }
  // 6.2.5.1: bit 0 I/O, bits 2..1 = 10 for 64 bits, bit 3 prefetchable.
  uint32_t flags = 0;
  if (kind == BarKind::Io) flags = 1;
  if (kind == BarKind::Memory64) flags = 4;
  if (kind == BarKind::Prefetch32) flags = 8;
  if (kind == BarKind::Prefetch64) flags = 12;
  define32(at, flags, static_cast<uint32_t>(mask));
  if (is_wide(kind)) define32(at + 4, 0, static_cast<uint32_t>(mask >> 32));
}

void PciFunction::add_bar(unsigned index, BarKind kind, uint64_t size, memory::IoHandler& handler) {
  define_bar(index, kind, size);
  bars_[index].handler = &handler;
}

void PciFunction::add_ram_bar(unsigned index, BarKind kind, memory::RamBlock& ram) {
  CHECK(kind != BarKind::Io);
  define_bar(index, kind, ram.size());
  bars_[index].ram = &ram;
}

void PciFunction::add_rom(memory::RamBlock& rom) {
  define_bar(kRomBar, BarKind::Memory32, rom.size());
  bars_[kRomBar].ram = &rom;
  bars_[kRomBar].read_only = true;
}

std::optional<uint64_t> PciFunction::wanted_address(unsigned index) const {
  const Bar& bar = bars_[index];
  const uint16_t command = config16(kCommand);
  const uint32_t low = config32(bar_register(index));
  if ((command & (bar.kind == BarKind::Io ? kCommandIo : kCommandMemory)) == 0) return std::nullopt;
  if (index == kRomBar && (low & kRomEnable) == 0) return std::nullopt;
  uint64_t at = low & ~(bar.size - 1);
  uint64_t limit = bar.kind == BarKind::Io ? 0xffff : 0xffffffff;
  if (is_wide(bar.kind)) {
    at |= static_cast<uint64_t>(config32(bar_register(index) + 4)) << 32;
    at &= ~(bar.size - 1);
    limit = (uint64_t{1} << 52) - 1;
  }
  // Zero is what an unassigned register holds, and the top is what it holds while a guest sizes it.
  const uint64_t last = at + bar.size - 1;
  if (at == 0 || last < at || last > limit || last == 0xffffffff) return std::nullopt;
  if (bus_ == nullptr || !bus_->forwards(bar.kind, at, last)) return std::nullopt;
  return at;
}

void PciFunction::place(Bar& bar, std::optional<uint64_t> at) {
  if (bar.map && at && bar.at == *at) return;
  if (!bar.map && !at) return;
  memory::AddressSpace& space = bar.kind == BarKind::Io ? bus_->ports() : bus_->memory();
  if (bar.map) space.unmap(*bar.map);
  bar.map.reset();
  if (!at) return;
  bar.at = *at;
  using memory::RamAccess;
  auto mapped = bar.ram != nullptr
                    ? space.map_ram(Gpa{*at}, *bar.ram, 0, bar.size,
                                    bar.read_only ? RamAccess::ReadOnly : RamAccess::ReadWrite, kBarPriority)
                    : space.map_io(Gpa{*at}, bar.size, *bar.handler, 0, kBarPriority);
  if (mapped) bar.map = *mapped;
}

void PciFunction::update_mappings() {
  for (unsigned i = 0; i < kBars; ++i) {
    if (bars_[i].used) place(bars_[i], wanted_address(i));
  }
}

std::optional<PciFunction::BarInfo> PciFunction::bar_info(unsigned index) const {
  if (index >= kBars || !bars_[index].used) return std::nullopt;
  const Bar& bar = bars_[index];
  return BarInfo{bar.kind, bar.size, bar.map ? std::optional(bar.at) : std::nullopt};
}

std::optional<uint64_t> PciFunction::bar_address(unsigned index) const {
  CHECK(index < kBars);
  if (!bars_[index].map) return std::nullopt;
  return bars_[index].at;
}

std::optional<PciFunction::BarRange> PciFunction::programmed_bar(unsigned index) const {
  CHECK(index < kRegisterBars);
  const Bar& bar = bars_[index];
  if (!bar.used) return std::nullopt;
  uint64_t at = config32(bar_register(index));
  if (is_wide(bar.kind)) at |= static_cast<uint64_t>(config32(bar_register(index) + 4)) << 32;
  at &= ~(bar.size - 1);
  if (at == 0) return std::nullopt;
  return BarRange{bar.kind, at, bar.size};
}

}  // namespace rhea::bus::pci
