// virtio-rng: an entropy source with a limit of bytes a period.
//
// VIRTIO 1.2, 5.4. Caller holds the machine lock.
#pragma once

#include <cstdint>
#include <memory>

#include "async/clock.h"
#include "devices/virtio/entropy.h"
#include "devices/virtio/virtio_device.h"

namespace rhea::devices::virtio {

class VirtioRng final : public VirtioDevice {
 public:
  struct Options {
    uint64_t max_bytes = INT64_MAX;  // in each period
    uint32_t period_ms = 1 << 16;
  };
  // clock: virtual.
  VirtioRng(std::shared_ptr<EntropySource> source, async::Clock& clock, const Options& options,
            const RingOptions& ring);

 private:
  uint64_t device_features() const override { return 0; }
  void queue_kicked(unsigned index) override;
  void device_reset() override;
  void device_state(bus::StateVisitor& v) override;

  void serve();
  size_t answer(const Chain& chain);
  void start_period();
  void wait_for_source();

  std::shared_ptr<EntropySource> source_;
  async::Clock& clock_;
  Options options_;
  std::unique_ptr<async::Timer> period_;
  uint64_t quota_;
  std::shared_ptr<bool> waiting_;  // while the source is asked to tell: dies with the question
};

}  // namespace rhea::devices::virtio
