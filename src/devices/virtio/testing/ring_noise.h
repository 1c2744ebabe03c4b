// For tests and fuzzers: a driver that sets a virtio function up as it should be and then fills its rings
// with what looks like requests but mostly is none.
#pragma once

#include <cstdint>
#include <random>

#include "base/endian.h"
#include "bus/pci/pci_regs.h"
#include "devices/virtio/virtio_pci.h"
#include "memory/ram_block.h"

namespace rhea::devices::virtio::testing {

class RingNoise {
 public:
  // ram is mapped from address 0 and has 512 KiB at least.
  RingNoise(VirtioPci& pci, memory::RamBlock& ram) : pci_(pci), io_(*pci.bar_handler(4)), ram_(ram) {}

  // Any seed: sometimes a new start of the device, always new ring contents and a few notifications.
  void run(uint64_t seed) {
    random_.seed(seed);
    const bool running = (status() & kDriverOk) != 0 && (status() & kNeedsReset) == 0;
    if (!running || seed % 8 == 0) start(seed % 3 == 0);
    for (unsigned i = 0; i < 4; ++i) {
      const unsigned queue = static_cast<unsigned>(random_() % queues());
      fill(queue);
      io_.io_write(0x3000 + 4 * queue, 2, queue);
    }
  }

 private:
  static constexpr uint64_t kRings = 0x10000, kStride = 0x4000, kData = 0x60000;
  static constexpr unsigned kSize = 8;

  uint8_t status() { return static_cast<uint8_t>(io_.io_read(kDeviceStatus, 1)); }
  unsigned queues() { return std::clamp(pci_.device().queue_count(), 1u, 8u); }
  uint64_t base(unsigned queue) const { return kRings + queue * kStride; }

  void start(bool packed) {
    packed_ = packed && (pci_.device().offered() & kRingPacked) != 0;
    avail_ = {};
    pci_.config_write(bus::pci::kCommand, 2, 6);
    io_.io_write(kDeviceStatus, 1, 0);
    io_.io_write(kDeviceStatus, 1, kAcknowledge | kDriver);
    const uint64_t features =
        (pci_.device().offered() & ~kLegacyOnly & ~(packed_ ? 0 : kRingPacked) & (random_() | 0x1fffff)) |
        kVersion1;
    for (unsigned half = 0; half < 2; ++half) {
      io_.io_write(kDriverFeatureSelect, 4, half);
      io_.io_write(kDriverFeature, 4, features >> (32 * half) & 0xffffffff);
    }
    io_.io_write(kDeviceStatus, 1, kAcknowledge | kDriver | kFeaturesOk);
    for (unsigned queue = 0; queue < queues(); ++queue) {
      std::fill_n(ram_.host() + base(queue), kStride, uint8_t{0});
      io_.io_write(kQueueSelect, 2, queue);
      io_.io_write(kQueueSize, 2, kSize);
      io_.io_write(kQueueDesc, 4, base(queue));
      io_.io_write(kQueueDriver, 4, base(queue) + 0x1000);
      io_.io_write(kQueueDevice, 4, base(queue) + 0x2000);
      io_.io_write(kQueueEnable, 2, 1);
    }
    io_.io_write(kDeviceStatus, 1, kAcknowledge | kDriver | kFeaturesOk | kDriverOk);
  }

  // Mostly small values, where fields mean something.
  uint64_t odd() { return random_() >> (random_() % 4 == 0 ? random_() % 64 : 56 + random_() % 8); }

  void fill(unsigned queue) {
    uint8_t* ring = ram_.host() + base(queue);
    for (unsigned i = 0; i < 64; ++i) store_le<uint64_t>(ram_.host() + kData + 8 * i, odd());
    for (unsigned i = 0; i < kSize; ++i) {
      uint8_t* at = ring + kDescBytes * i;
      const bool wild = random_() % 32 == 0;
      store_le<uint64_t>(at, wild ? odd() : kData + random_() % 1024);
      store_le<uint32_t>(at + 8, static_cast<uint32_t>(wild ? odd() : 1 + random_() % 600));
      const unsigned flags = static_cast<unsigned>(random_() % 4 | (random_() % 8 == 0 ? kDescIndirect : 0));
      const unsigned side = random_() % 2 == 0 ? kDescAvail : kDescUsed;
      const unsigned id = static_cast<unsigned>(random_() % (wild ? 20 : kSize));
      store_le<uint16_t>(at + 12, static_cast<uint16_t>(packed_ ? id : flags));
      store_le<uint16_t>(at + 14, static_cast<uint16_t>(packed_ ? flags | side : id));
    }
    for (unsigned i = 0; i < kSize; ++i)
      store_le<uint16_t>(ring + 0x1004 + 2 * i, static_cast<uint16_t>(random_() % (kSize + random_() % 2)));
    avail_[queue] = static_cast<uint16_t>(avail_[queue] + random_() % (kSize / 2));
    if (!packed_) store_le<uint16_t>(ring + 0x1002, avail_[queue]);
  }

  VirtioPci& pci_;
  memory::IoHandler& io_;
  memory::RamBlock& ram_;
  std::mt19937_64 random_;
  std::array<uint16_t, 8> avail_{};
  bool packed_ = false;
};

}  // namespace rhea::devices::virtio::testing
