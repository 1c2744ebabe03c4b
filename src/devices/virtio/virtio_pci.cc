#include "devices/virtio/virtio_pci.h"

#include <algorithm>
#include <bit>

#include "base/check.h"
#include "base/log.h"
#include "bus/pci/pci_bus.h"

namespace rhea::devices::virtio {

using bus::pci::BarKind;

namespace {

// 4.1.2: PCI device ids of transitional devices; all others are 0x1040 + type.
constexpr uint16_t kVendor = 0x1af4, kFirstModern = 0x1040;
uint16_t transitional_id(uint16_t type) {
  switch (type) {
    case kIdNet: return 0x1000;
    case kIdBlock: return 0x1001;
    case kIdConsole: return 0x1003;
    case kIdEntropy: return 0x1005;
    case kIdBalloon: return 0x1002;
    default: return static_cast<uint16_t>(kFirstModern + type);
  }
}

// The modern BAR, a page for each structure.
constexpr unsigned kModernBar = 4;
constexpr uint32_t kCommonAt = 0x0000, kIsrAt = 0x1000, kDeviceAt = 0x2000, kNotifyAt = 0x3000;
constexpr uint32_t kPage = 0x1000, kModernSize = 0x4000;
constexpr uint32_t kNotifyMultiplier = 4;

// 4.1.4: the vendor capability and its fields; kWindow is VIRTIO_PCI_CAP_PCI_CFG.
constexpr uint8_t kCapVendor = 0x09;
constexpr unsigned kCapCommonAt = 0x40, kCapIsrAt = 0x50, kCapDeviceAt = 0x60, kCapNotifyAt = 0x70,
                   kWindow = 0x84, kMsixAt = 0x98;
constexpr unsigned kCapLength = 2, kCapType = 3, kCapBar = 4, kCapOffset = 8, kCapSize = 12, kCapExtra = 16;
constexpr unsigned kPlainCap = 16, kLongCap = 20;

uint64_t get(VirtioDevice& device, unsigned offset, unsigned size) {
  uint8_t bytes[8] = {};
  device.config_get(offset, std::span(bytes, size));
  return load_le<uint64_t>(bytes);
}

void set(VirtioDevice& device, unsigned offset, unsigned size, uint64_t value) {
  uint8_t bytes[8];
  store_le<uint64_t>(bytes, value);
  device.config_set(offset, std::span<const uint8_t>(bytes, size));
}

uint32_t part(uint32_t dword, uint64_t offset, unsigned size) {
  const uint32_t shifted = dword >> (8 * (offset & 3));
  return size >= 4 ? shifted : shifted & ((1u << (8 * size)) - 1);
}

}  // namespace

bus::pci::Identity VirtioPci::identity(const VirtioDevice& device, const Options& options) {
  const uint16_t type = device.type().id;
  const bool modern = options.interface == Interface::Modern;
  return {.vendor = kVendor,
          .device = modern ? static_cast<uint16_t>(kFirstModern + type) : transitional_id(type),
          .revision = static_cast<uint8_t>(modern ? 1 : 0),
          .class_code = device.type().class_code,
          .subsystem_vendor = kVendor,
          // 4.1.2.3: what legacy drivers tell the types apart by.
          .subsystem = modern ? uint16_t{0x1100} : type,
          .interrupt_pin = 1};
}

VirtioPci::VirtioPci(std::unique_ptr<VirtioDevice> device, const Options& options)
    : PciFunction(identity(*device, options)), device_(std::move(device)), options_(options) {
  device_->attach(this);
  if (options_.interface != Interface::Modern) add_bar(0, BarKind::Io, legacy_size(), legacy_);
  if (options_.interface != Interface::Legacy) add_modern();
  if (options_.vectors == 0) return;
  add_bar(1, BarKind::Memory32, vectors_size(), vectors_);
  msix_ = std::make_unique<bus::pci::Msix>(
      *this, kMsixAt, options_.vectors,
      bus::pci::Msix::Placement{.bar = 1, .table = 0, .pending = static_cast<uint32_t>(vectors_size() / 2)});
}

VirtioPci::~VirtioPci() {
  device_->attach(nullptr);
}

uint64_t VirtioPci::legacy_size() const {
  return std::max<uint64_t>(64, std::bit_ceil(uint64_t{24} + device_->type().config_bytes));
}

uint64_t VirtioPci::vectors_size() const {
  return std::max<uint64_t>(kPage, std::bit_ceil(uint64_t{options_.vectors} * 32));
}

void VirtioPci::add_virtio_capability(unsigned at, uint8_t type, uint32_t offset, uint32_t length,
                                      unsigned size) {
  add_capability(kCapVendor, at, size);
  define8(at + kCapLength, static_cast<uint8_t>(size));
  define8(at + kCapType, type);
  define8(at + kCapBar, kModernBar);
  define32(at + kCapOffset, offset);
  define32(at + kCapSize, length);
}

void VirtioPci::add_modern() {
  add_bar(kModernBar, BarKind::Prefetch64, kModernSize, modern_);
  add_virtio_capability(kCapCommonAt, kCapCommon, kCommonAt, kPage, kPlainCap);
  add_virtio_capability(kCapIsrAt, kCapIsr, kIsrAt, kPage, kPlainCap);
  add_virtio_capability(kCapDeviceAt, kCapDevice, kDeviceAt, kPage, kPlainCap);
  add_virtio_capability(kCapNotifyAt, kCapNotify, kNotifyAt, kPage, kLongCap);
  define32(kCapNotifyAt + kCapExtra, kNotifyMultiplier);
  add_virtio_capability(kWindow, kCapPciConfig, 0, 0, kLongCap);
  // 4.1.4.9: the window's place and length, and its data, are the driver's.
  define8(kWindow + kCapBar, 0, 0xff);
  define32(kWindow + kCapOffset, 0, 0xffffffff);
  define32(kWindow + kCapSize, 0, 0xffffffff);
  define32(kWindow + kCapExtra, 0, 0xffffffff);
}

// Where the window of 4.1.4.9 looks at now: 1, 2 or 4 aligned bytes of the modern BAR.
bool VirtioPci::window(uint32_t& at, unsigned& size) const {
  at = config32(kWindow + kCapOffset);
  size = config32(kWindow + kCapSize);
  if (config8(kWindow + kCapBar) != kModernBar || (size != 1 && size != 2 && size != 4)) return false;
  return at % size == 0 && at <= kModernSize - size;
}

uint32_t VirtioPci::config_read(unsigned offset, unsigned size) {
  uint32_t at = 0;
  unsigned width = 0;
  const bool data = options_.interface != Interface::Legacy && offset + size > kWindow + kCapExtra &&
                    offset < kWindow + kCapExtra + 4;
  if (data && window(at, width))
    set_config32(kWindow + kCapExtra, static_cast<uint32_t>(modern_.io_read(at, width)));
  return PciFunction::config_read(offset, size);
}

void VirtioPci::config_written(unsigned offset, unsigned size) {
  if (offset < bus::pci::kStatus) renew_ram();
  if (msix_ != nullptr) msix_->config_written(offset, size);
  uint32_t at = 0;
  unsigned width = 0;
  const bool data = options_.interface != Interface::Legacy && offset + size > kWindow + kCapExtra &&
                    offset < kWindow + kCapExtra + 4;
  if (data && window(at, width)) modern_.io_write(at, width, part(config32(kWindow + kCapExtra), 0, width));
}

void VirtioPci::renew_ram() {
  const bool master = bus() != nullptr && (config16(bus::pci::kCommand) & bus::pci::kCommandMaster) != 0;
  device_->ram().attach(master ? &bus()->memory() : nullptr);
}

void VirtioPci::set_rom(std::unique_ptr<memory::RamBlock> rom) {
  rom_ = std::move(rom);
  add_rom(*rom_);
}

void VirtioPci::reset(bus::ResetKind kind) {
  write_status(0);
  device_feature_select_ = driver_feature_select_ = 0;
  queue_select_ = 0;
  config_generation_ = 0;
  if (msix_ != nullptr) msix_->reset();
  PciFunction::reset(kind);
  renew_ram();
}

void VirtioPci::state(bus::StateVisitor& v) {
  PciFunction::state(v);
  if (v.loading()) renew_ram();
  if (msix_ != nullptr) msix_->state(v);
  v.field("device_feature_select", device_feature_select_);
  v.field("driver_feature_select", driver_feature_select_);
  v.field("queue_select", queue_select_);
  v.field("config_vector", config_vector_);
  v.field("config_generation", config_generation_);
  v.field("isr", isr_);
  device_->state(v);
}

void VirtioPci::interrupt(uint16_t vector, uint8_t isr) {
  isr_ |= isr;
  if (msix_ != nullptr && msix_->enabled())
    msix_->notify(vector);
  else
    set_intx(true);
}

void VirtioPci::interrupt_queue(unsigned queue) {
  interrupt(device_->queue(queue).vector, kIsrQueue);
}

void VirtioPci::interrupt_config() {
  ++config_generation_;
  interrupt(config_vector_, kIsrConfig);
}

// 4.1.4.5: reading clears, and lets go of the pin.
uint8_t VirtioPci::take_isr() {
  const uint8_t isr = isr_;
  isr_ = 0;
  set_intx(false);
  return isr;
}

uint16_t VirtioPci::checked_vector(uint64_t vector) const {
  return vector < options_.vectors ? static_cast<uint16_t>(vector) : kNoVector;
}

Virtqueue* VirtioPci::selected() {
  return queue_select_ < device_->queue_count() ? &device_->queue(queue_select_) : nullptr;
}

void VirtioPci::write_status(uint8_t status) {
  device_->set_status(status);
  if (status != 0) return;
  config_vector_ = kNoVector;
  take_isr();
}

uint32_t VirtioPci::common_read(unsigned offset) {
  const Virtqueue* queue = selected();
  const Virtqueue::Addresses at = queue != nullptr ? queue->addresses() : Virtqueue::Addresses{};
  const uint64_t offered = device_->offered() & ~kLegacyOnly;
  switch (offset) {
    case kDeviceFeatureSelect: return device_feature_select_;
    case kDeviceFeature:
      return device_feature_select_ < 2 ? static_cast<uint32_t>(offered >> (32 * device_feature_select_)) : 0;
    case kDriverFeatureSelect: return driver_feature_select_;
    case kDriverFeature:
      return driver_feature_select_ < 2
                 ? static_cast<uint32_t>(device_->accepted() >> (32 * driver_feature_select_))
                 : 0;
    case kConfigVector: return config_vector_ | device_->queue_count() << 16;
    case kDeviceStatus:
      return device_->status() | static_cast<uint32_t>(config_generation_) << 8 |
             static_cast<uint32_t>(queue_select_) << 16;
    case kQueueSize:
      return queue != nullptr ? queue->size() | static_cast<uint32_t>(queue->vector) << 16
                              : uint32_t{kNoVector} << 16;
    case kQueueEnable:
      return queue != nullptr ? (queue->enabled() ? 1u : 0u) | static_cast<uint32_t>(queue_select_) << 16 : 0;
    case kQueueDesc: return static_cast<uint32_t>(at.desc);
    case kQueueDesc + 4: return static_cast<uint32_t>(at.desc >> 32);
    case kQueueDriver: return static_cast<uint32_t>(at.driver);
    case kQueueDriver + 4: return static_cast<uint32_t>(at.driver >> 32);
    case kQueueDevice: return static_cast<uint32_t>(at.device);
    case kQueueDevice + 4: return static_cast<uint32_t>(at.device >> 32);
    default: return 0;
  }
}

void VirtioPci::common_write(unsigned offset, uint32_t value) {
  switch (offset) {
    case kDeviceFeatureSelect: device_feature_select_ = value; break;
    case kDriverFeatureSelect: driver_feature_select_ = value; break;
    case kDriverFeature:
      if (driver_feature_select_ < 2) device_->accept(driver_feature_select_, value);
      break;
    case kConfigVector: config_vector_ = checked_vector(value & 0xffff); break;
    case kDeviceStatus: write_status(static_cast<uint8_t>(value)); break;
    case kQueueSelect: queue_select_ = static_cast<uint16_t>(value); break;
    default: common_write_queue(offset, value); break;
  }
}

void VirtioPci::common_write_queue(unsigned offset, uint32_t value) {
  Virtqueue* queue = selected();
  if (queue == nullptr) return;
  if (offset == kQueueVector) {
    queue->vector = checked_vector(value & 0xffff);
    return;
  }
  // 4.1.4.3.2: a queue that is enabled stays as it is.
  if (queue->enabled()) return;
  const auto low = [value](uint64_t old) { return (old & ~uint64_t{0xffffffff}) | value; };
  const auto high = [value](uint64_t old) { return (old & 0xffffffff) | static_cast<uint64_t>(value) << 32; };
  Virtqueue::Addresses at = queue->addresses();
  switch (offset) {
    case kQueueSize:
      if (!queue->set_size(static_cast<uint16_t>(value), device_->negotiated(kRingPacked)))
        guest_error("{}: queue {} cannot have {} entries", name(), queue_select_, value);
      return;
    case kQueueEnable:
      if ((value & 0xffff) == 1) device_->enable_queue(queue_select_);
      return;
    case kQueueDesc: at.desc = low(at.desc); break;
    case kQueueDesc + 4: at.desc = high(at.desc); break;
    case kQueueDriver: at.driver = low(at.driver); break;
    case kQueueDriver + 4: at.driver = high(at.driver); break;
    case kQueueDevice: at.device = low(at.device); break;
    case kQueueDevice + 4: at.device = high(at.device); break;
    default: return;
  }
  queue->set_addresses(at);
}

uint64_t VirtioPci::Modern::io_read(uint64_t offset, unsigned size) {
  const uint32_t page = static_cast<uint32_t>(offset) & ~(kPage - 1);
  const unsigned at = static_cast<unsigned>(offset) & (kPage - 1);
  switch (page) {
    case kCommonAt: return part(pci.common_read(at & ~3u), at, size);
    case kIsrAt: return at == 0 ? pci.take_isr() : 0;
    case kDeviceAt: return get(*pci.device_, at, size);
    default: return 0;
  }
}

void VirtioPci::Modern::io_write(uint64_t offset, unsigned size, uint64_t value) {
  const uint32_t page = static_cast<uint32_t>(offset) & ~(kPage - 1);
  const unsigned at = static_cast<unsigned>(offset) & (kPage - 1);
  switch (page) {
    case kCommonAt:
      // 4.1.3.1: fields are written whole; the halves of 64-bit ones as dwords.
      pci.common_write(at, static_cast<uint32_t>(value));
      break;
    case kDeviceAt: set(*pci.device_, at, size, value); break;
    case kNotifyAt:
      if (at % kNotifyMultiplier == 0) pci.device_->kick(at / kNotifyMultiplier);
      break;
    default: break;
  }
}

uint64_t VirtioPci::Vectors::io_read(uint64_t offset, unsigned size) {
  const uint64_t half = pci.vectors_size() / 2;
  if (offset < half) return offset < pci.msix_->table_size() ? pci.msix_->io_read(offset, size) : 0;
  const uint64_t at = offset - half + pci.msix_->pending_offset();
  return at < pci.msix_->io_size() ? pci.msix_->io_read(at, size) : 0;
}

void VirtioPci::Vectors::io_write(uint64_t offset, unsigned size, uint64_t value) {
  if (offset < pci.msix_->table_size()) pci.msix_->io_write(offset, size, value);
}

memory::IoHandler* VirtioPci::bar_handler(unsigned index) {
  if (index == 0 && options_.interface != Interface::Modern) return &legacy_;
  if (index == 1 && msix_ != nullptr) return &vectors_;
  if (index == kModernBar && options_.interface != Interface::Legacy) return &modern_;
  return nullptr;
}

uint64_t VirtioPci::bar_size(unsigned index) const {
  if (index == 0) return legacy_size();
  return index == 1 ? vectors_size() : kModernSize;
}

}  // namespace rhea::devices::virtio
