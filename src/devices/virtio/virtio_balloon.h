// virtio-balloon: the guest gives pages back to the host, and takes them again, as the host wishes.
//
// VIRTIO 1.2, 5.5. Missing: statistics, free page hints and reports, page poison. Caller holds the machine
// lock.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "devices/virtio/virtio_device.h"

namespace rhea::devices::virtio {

class VirtioBalloon final : public VirtioDevice {
 public:
  static constexpr uint64_t kPage = 4096;  // whatever the guest's pages are
  struct Options {
    bool deflate_on_oom = false;
    std::function<void(uint64_t pages)> changed = {};  // the guest says how many pages it has given back
  };
  VirtioBalloon(Options options, const RingOptions& ring);

  // How many pages the guest should have given back, and says that it has.
  void set_target(uint32_t pages);
  uint32_t target() const { return target_; }
  uint32_t actual() const { return actual_; }

 private:
  uint64_t device_features() const override;
  void fill_config(std::span<uint8_t> config) const override;
  void config_written(unsigned offset, std::span<const uint8_t> bytes) override;
  void queue_kicked(unsigned index) override;
  void device_reset() override;
  void device_state(bus::StateVisitor& v) override;

  bool take_pages(const Chain& chain);
  void give_back(uint64_t address);

  Options options_;
  uint32_t target_ = 0, actual_ = 0;
};

}  // namespace rhea::devices::virtio
