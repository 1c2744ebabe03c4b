// virtio-blk: a disk behind one or more request queues.
//
// VIRTIO 1.2, 5.2. Requests of any size are done in pieces through buffers of this side, so that a worker
// thread never touches guest memory; what all buffers hold together is bounded, and a device at that bound
// leaves further requests in their rings. Missing: zoned devices, secure erase, lifetime, SCSI pass-through
// (all not offered). Caller holds the machine lock.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/result.h"
#include "block/drive/drive.h"
#include "devices/virtio/virtio_device.h"

namespace rhea::devices::virtio {

class VirtioBlk final : public VirtioDevice, private block::DriveFrontend {
 public:
  struct Options {
    unsigned queues = 1;
    uint16_t queue_size = 256;
    std::string serial{};  // empty: the drive's
    uint32_t logical_block = 512;
    uint32_t physical_block = 512;
    uint32_t min_io = 0;  // bytes
    uint32_t opt_io = 0;
    uint32_t discard_granularity = 0;  // 0: a logical block
    uint32_t max_discard_sectors = kMaxSectors;
    uint32_t max_write_zeroes_sectors = kMaxSectors;
    bool config_wce = true;
    bool discard = true;
    bool write_zeroes = true;
    block::Geometry geometry{};  // zeros: made up from the size
  };
  static constexpr uint32_t kMaxSectors = 0x3fffff;

  // Errors: Busy (the drive has a device), Invalid (no medium, sizes that do not fit together).
  static Result<std::unique_ptr<VirtioBlk>> create(block::Drive& drive, const Options& options,
                                                   const RingOptions& ring);
  ~VirtioBlk() override;

 private:
  struct Request;
  using RequestPtr = std::shared_ptr<Request>;

  VirtioBlk(block::Drive& drive, const Options& options, const RingOptions& ring);

  uint64_t device_features() const override;
  void fill_config(std::span<uint8_t> config) const override;
  void config_written(unsigned offset, std::span<const uint8_t> bytes) override;
  void queue_kicked(unsigned index) override;
  void driver_ready() override;
  void device_reset() override;
  void device_state(bus::StateVisitor& v) override;
  void resized() override { config_changed(); }
  void media_changed() override { config_changed(); }

  block::Geometry geometry() const;
  void serve(unsigned index);
  void start(unsigned queue, Chain chain);
  void start_transfer(const RequestPtr& request, uint64_t sector);
  void start_range(const RequestPtr& request);
  void get_id(const RequestPtr& request);
  std::unique_ptr<uint8_t[]> buffer_of(uint64_t bytes);
  bool read_at_once(const Request& request);
  void next_piece(const RequestPtr& request);
  void piece_done(const RequestPtr& request, uint64_t bytes, bool ok);
  block::Drive::Done ends(const RequestPtr& request);
  bool in_disk(uint64_t sector, uint64_t bytes) const;
  void finish(const RequestPtr& request, uint8_t status);

  block::Drive& drive_;
  Options options_;
  bool initial_write_cache_;
  uint64_t buffered_ = 0;  // bytes of all requests' buffers
  bool starved_ = false;   // a queue waits for buffers
  bool serving_ = false;   // what ends is shown to the driver when all was looked at
  uint64_t at_once_ = 0;   // bytes that may still be read inside this kick
  std::vector<std::unique_ptr<uint8_t[]>> spare_;
};

}  // namespace rhea::devices::virtio
