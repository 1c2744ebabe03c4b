#include "devices/input/ps2_device.h"

namespace rhea::devices {

std::optional<uint8_t> Ps2Device::take() {
  if (count_ == 0) return std::nullopt;
  const uint8_t byte = queue_[head_];
  head_ = static_cast<uint16_t>((head_ + 1u) % kDepth);
  --count_;
  return byte;
}

void Ps2Device::answer(uint8_t byte) {
  // A guest that sends commands and never reads loses the oldest answers.
  if (count_ == kDepth) static_cast<void>(take());
  queue_[(head_ + count_) % kDepth] = byte;
  ++count_;
  if (listener_) listener_();
}

void Ps2Device::visit_queue(bus::StateVisitor& v) {
  v.bytes("queue", queue_);
  v.field("head", head_);
  v.field("count", count_);
  head_ = static_cast<uint16_t>(head_ % kDepth);
  if (count_ > kDepth) count_ = kDepth;
}

}  // namespace rhea::devices
