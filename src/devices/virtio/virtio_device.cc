#include "devices/virtio/virtio_device.h"

#include <algorithm>
#include <vector>

#include "base/check.h"
#include "base/log.h"

namespace rhea::devices::virtio {

VirtioDevice::VirtioDevice(const Type& type, const RingOptions& ring) : type_(type), ring_(ring) {}

unsigned VirtioDevice::add_queue(uint16_t max_size) {
  const unsigned index = queue_count();
  queues_.emplace_back(Virtqueue::Wiring{.ram = ram_,
                                         .broken = [this](std::string_view why) { break_down(why); },
                                         .interrupt =
                                             [this, index] {
                                               if (transport_ != nullptr) transport_->interrupt_queue(index);
                                             }},
                       max_size);
  return index;
}

uint64_t VirtioDevice::offered() const {
  uint64_t bits = device_features() | kVersion1;
  if (ring_.indirect_desc) bits |= kIndirectDesc;
  if (ring_.event_idx) bits |= kEventIdx;
  if (ring_.packed) bits |= kRingPacked;
  if (ring_.notify_on_empty) bits |= kNotifyOnEmpty;
  if (ring_.any_layout) bits |= kAnyLayout;
  return bits;
}

Virtqueue::Mode VirtioDevice::mode() const {
  return {.packed = negotiated(kRingPacked),
          .event_index = negotiated(kEventIdx),
          .indirect = negotiated(kIndirectDesc),
          .notify_on_empty = negotiated(kNotifyOnEmpty)};
}

void VirtioDevice::accept_legacy(uint32_t features) {
  accepted_ = features & offered();
  for (Virtqueue& queue : queues_) queue.set_mode(mode());
}

void VirtioDevice::accept(unsigned half, uint32_t features) {
  if ((status_ & kFeaturesOk) != 0 || half > 1) return;
  const uint64_t shifted = static_cast<uint64_t>(features) << (32 * half);
  const uint64_t keep = half == 0 ? ~uint64_t{0} << 32 : uint64_t{0xffffffff};
  accepted_ = (accepted_ & keep) | shifted;
}

void VirtioDevice::set_status(uint8_t status) {
  if (status == 0) {
    reset();
    return;
  }
  const uint8_t before = status_;
  // 2.2.2: features that were not offered are not accepted, which the driver learns from the bit not
  // standing.
  if ((status & ~before & kFeaturesOk) != 0) {
    const bool known = (accepted_ & ~(offered() & ~kLegacyOnly)) == 0;
    if (!known || !negotiated(kVersion1)) {
      guest_error("{}: the driver accepts features {:#x} of {:#x}", type_.name, accepted_, offered());
      status = static_cast<uint8_t>(status & ~kFeaturesOk);
    }
  }
  status_ = static_cast<uint8_t>(status | (before & kNeedsReset));
  if ((status_ & ~before & kDriverOk) != 0) driver_ready();
}

void VirtioDevice::break_down(std::string_view why) {
  guest_error("{}: {}", type_.name, why);
  for (Virtqueue& queue : queues_) queue.stop();
  if ((status_ & kNeedsReset) != 0) return;
  status_ |= kNeedsReset;
  if (transport_ != nullptr && (status_ & kDriverOk) != 0) transport_->interrupt_config();
}

void VirtioDevice::enable_queue(unsigned index) {
  CHECK(index < queue_count());
  queues_[index].enable(mode());
}

void VirtioDevice::kick(unsigned index) {
  if (index >= queue_count() || !queues_[index].enabled() || !ram_.attached()) return;
  if ((status_ & kNeedsReset) != 0 || (negotiated(kVersion1) && !driver_ok())) return;
  queue_kicked(index);
}

void VirtioDevice::config_get(unsigned offset, std::span<uint8_t> to) const {
  std::vector<uint8_t> whole(type_.config_bytes);
  fill_config(whole);
  for (size_t i = 0; i < to.size(); ++i) to[i] = offset + i < whole.size() ? whole[offset + i] : uint8_t{0};
}

void VirtioDevice::config_set(unsigned offset, std::span<const uint8_t> from) {
  if (offset >= type_.config_bytes) return;
  config_written(offset, from.first(std::min<size_t>(from.size(), type_.config_bytes - offset)));
}

void VirtioDevice::config_changed() {
  if (transport_ != nullptr && driver_ok()) transport_->interrupt_config();
}

void VirtioDevice::reset() {
  status_ = 0;
  accepted_ = 0;
  device_reset();
  for (Virtqueue& queue : queues_) queue.reset();
}

void VirtioDevice::state(bus::StateVisitor& v) {
  v.enter(type_.name);
  v.field("status", status_);
  v.field("accepted", accepted_);
  if (v.loading()) accepted_ &= offered();
  for (Virtqueue& queue : queues_) {
    if (v.loading()) queue.set_mode(mode());
    v.enter("queue");
    queue.state(v);
    v.leave();
  }
  device_state(v);
  v.leave();
}

}  // namespace rhea::devices::virtio
