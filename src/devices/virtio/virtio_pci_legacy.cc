// The legacy interface of a virtio PCI function: one I/O BAR with the header and, behind it, the device's
// configuration. VIRTIO 1.2, 4.1.4.10 and 2.7.2 (the ring's fixed layout).
#include "base/log.h"
#include "devices/virtio/virtio_pci.h"

namespace rhea::devices::virtio {

// The two vectors stand in the header only while MSI-X is on.
unsigned VirtioPci::legacy_config_at() const {
  return msix_ != nullptr && msix_->enabled() ? 24 : 20;
}

uint32_t VirtioPci::legacy_read(unsigned offset) {
  const Virtqueue* queue = selected();
  switch (offset) {
    case kLegacyHostFeatures: return static_cast<uint32_t>(device_->offered());
    case kLegacyGuestFeatures: return static_cast<uint32_t>(device_->accepted());
    case kLegacyQueuePfn:
      return queue != nullptr && queue->enabled()
                 ? static_cast<uint32_t>(queue->addresses().desc >> kLegacyPageShift)
                 : 0;
    case kLegacyQueueSize: return queue != nullptr ? queue->max_size() : 0;
    case kLegacyQueueSelect: return queue_select_;
    case kLegacyStatus: return device_->status();
    case kLegacyIsr: return take_isr();
    case kLegacyConfigVector: return config_vector_;
    case kLegacyQueueVector: return queue != nullptr ? queue->vector : kNoVector;
    default: return 0;
  }
}

// Descriptors, the available ring and, on the next page, the used ring. Zero gives the queue back.
void VirtioPci::legacy_place_queue(uint32_t pfn) {
  Virtqueue* queue = selected();
  if (pfn == 0) {
    write_status(0);
    return;
  }
  if (queue == nullptr || queue->enabled()) return;
  const uint64_t desc = static_cast<uint64_t>(pfn) << kLegacyPageShift;
  const uint64_t driver = desc + uint64_t{queue->max_size()} * kDescBytes;
  const uint64_t end = driver + 6 + uint64_t{queue->max_size()} * 2;
  const uint64_t page = uint64_t{1} << kLegacyPageShift;
  queue->set_addresses({.desc = desc, .driver = driver, .device = (end + page - 1) & ~(page - 1)});
  device_->enable_queue(queue_select_);
}

void VirtioPci::legacy_write(unsigned offset, uint32_t value) {
  Virtqueue* queue = selected();
  switch (offset) {
    case kLegacyGuestFeatures: device_->accept_legacy(value); break;
    case kLegacyQueuePfn: legacy_place_queue(value); break;
    case kLegacyQueueSelect: queue_select_ = static_cast<uint16_t>(value); break;
    case kLegacyQueueNotify: device_->kick(value & 0xffff); break;
    case kLegacyStatus: write_status(static_cast<uint8_t>(value)); break;
    case kLegacyConfigVector: config_vector_ = checked_vector(value & 0xffff); break;
    case kLegacyQueueVector:
      if (queue != nullptr) queue->vector = checked_vector(value & 0xffff);
      break;
    default: guest_error("{}: write of {:#x} to legacy register {:#x}", name(), value, offset); break;
  }
}

uint64_t VirtioPci::Legacy::io_read(uint64_t offset, unsigned size) {
  const unsigned at = static_cast<unsigned>(offset);
  const unsigned config = pci.legacy_config_at();
  if (at < config) return pci.legacy_read(at);
  uint8_t bytes[8] = {};
  pci.device_->config_get(at - config, std::span(bytes, size));
  return load_le<uint64_t>(bytes);
}

void VirtioPci::Legacy::io_write(uint64_t offset, unsigned size, uint64_t value) {
  const unsigned at = static_cast<unsigned>(offset);
  const unsigned config = pci.legacy_config_at();
  if (at < config) {
    pci.legacy_write(at, static_cast<uint32_t>(value));
    return;
  }
  uint8_t bytes[8];
  store_le<uint64_t>(bytes, value);
  pci.device_->config_set(at - config, std::span<const uint8_t>(bytes, size));
}

}  // namespace rhea::devices::virtio
