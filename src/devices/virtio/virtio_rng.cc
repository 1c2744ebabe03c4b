#include "devices/virtio/virtio_rng.h"

#include <algorithm>
#include <array>

namespace rhea::devices::virtio {

namespace {

constexpr uint16_t kRingSize = 8;
constexpr int64_t kNsPerMs = 1'000'000;
// Of one request: a driver that asks for more gets less, as the specification allows.
constexpr size_t kMostBytes = 4096;

}  // namespace

VirtioRng::VirtioRng(std::shared_ptr<EntropySource> source, async::Clock& clock, const Options& options,
                     const RingOptions& ring)
    : VirtioDevice({.id = kIdEntropy, .name = "virtio-rng", .class_code = 0x00ff00}, ring),
      source_(std::move(source)),
      clock_(clock),
      options_(options),
      quota_(options.max_bytes) {
  add_queue(kRingSize);
  period_ = clock_.make_timer([this] {
    quota_ = options_.max_bytes;
    serve();
  });
}

void VirtioRng::device_reset() {
  waiting_.reset();
}

void VirtioRng::device_state(bus::StateVisitor& v) {
  v.field("quota", quota_);
  if (!v.loading()) return;
  quota_ = std::min(quota_, options_.max_bytes);
  if (quota_ < options_.max_bytes) start_period();
}

// The limit belongs to the host: a guest does not get around it by a reset.
void VirtioRng::start_period() {
  if (!period_->armed()) period_->arm(clock_.now_ns() + options_.period_ms * kNsPerMs);
}

void VirtioRng::queue_kicked(unsigned) {
  serve();
}

size_t VirtioRng::answer(const Chain& chain) {
  std::array<uint8_t, kMostBytes> bytes;
  const uint64_t wanted = std::min({chain.in_bytes, quota_, uint64_t{kMostBytes}});
  const size_t got = source_->take(std::span(bytes).first(wanted));
  if (got == 0) return 0;
  const auto copied = copy_to(ram(), chain.in, 0, std::span<const uint8_t>(bytes).first(got));
  if (copied) return *copied;
  break_down("a buffer is not in RAM");
  return 0;
}

void VirtioRng::wait_for_source() {
  if (waiting_ != nullptr) return;
  waiting_ = std::make_shared<bool>(true);
  source_->wait([this, alive = std::weak_ptr<bool>(waiting_)] {
    if (alive.expired()) return;
    waiting_.reset();
    serve();
  });
}

void VirtioRng::serve() {
  Virtqueue& ring = queue(0);
  if (!driver_ok() && negotiated(kVersion1)) return;
  do {
    ring.disable_kicks();
    while (quota_ != 0) {
      const std::optional<Chain> chain = ring.pop();
      if (!chain) break;
      if (chain->in_bytes == 0) {
        ring.push(*chain, 0);
        continue;
      }
      const size_t got = answer(*chain);
      if (got == 0) {
        ring.unpop(*chain);
        wait_for_source();
        return;
      }
      if (options_.max_bytes != INT64_MAX) {
        quota_ -= got;
        start_period();
      }
      ring.push(*chain, static_cast<uint32_t>(got));
    }
  } while (quota_ != 0 && ring.enable_kicks());
}

}  // namespace rhea::devices::virtio
