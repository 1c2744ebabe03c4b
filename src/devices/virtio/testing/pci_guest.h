// For tests: a little machine with one virtio function on its PCI bus, and a driver for it that knows the
// modern and the legacy interface.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <mutex>
#include <vector>

#include "bus/pci/pci_bus.h"
#include "devices/virtio/testing/ring_driver.h"
#include "devices/virtio/virtio_pci.h"

namespace rhea::devices::virtio::testing {

class PciGuest : private bus::IrqSink, private bus::ApicBus {
 public:
  static constexpr uint64_t kBar = 0xe0000000, kVectorsBar = 0xe1000000, kPorts = 0xc000;
  static constexpr uint64_t kRings = 0x10000, kRingStride = 0x10000, kScratch = 0x80000;

  PciGuest() : ram(*memory::RamBlock::create("ram", 0x100000)) {
    CHECK(memory.map_ram(Gpa{0}, *ram, 0, ram->size()).has_value());
  }

  void plug(std::unique_ptr<VirtioDevice> device, const VirtioPci::Options& options) {
    function = std::make_unique<VirtioPci>(std::move(device), options);
    bus.attach(*function, bus::pci::devfn_of(3, 0));
    function->reset(bus::ResetKind::Cold);
    config(0x20, 4, static_cast<uint32_t>(kBar));
    config(0x24, 4, 0);
    config(0x10, 4, static_cast<uint32_t>(kPorts));
    config(0x14, 4, static_cast<uint32_t>(kVectorsBar));
    config(4, 2, 7);
  }
  void config(unsigned offset, unsigned size, uint32_t value) {
    bus.config_write(0, bus::pci::devfn_of(3, 0), offset, size, value);
  }
  uint32_t config(unsigned offset, unsigned size) {
    return bus.config_read(0, bus::pci::devfn_of(3, 0), offset, size);
  }
  void common(unsigned offset, unsigned size, uint64_t value) { memory.store(kBar + offset, size, value); }
  uint64_t common(unsigned offset, unsigned size) { return memory.load(kBar + offset, size); }
  uint8_t status() { return static_cast<uint8_t>(common(kDeviceStatus, 1)); }

  // Up to FEATURES_OK; returns whether it stood.
  bool negotiate(uint64_t features) {
    common(kDeviceStatus, 1, 0);
    common(kDeviceStatus, 1, kAcknowledge | kDriver);
    for (unsigned half = 0; half < 2; ++half) {
      common(kDriverFeatureSelect, 4, half);
      common(kDriverFeature, 4, features >> (32 * half) & 0xffffffff);
    }
    common(kDeviceStatus, 1, kAcknowledge | kDriver | kFeaturesOk);
    return (status() & kFeaturesOk) != 0;
  }
  uint64_t offered() {
    uint64_t bits = 0;
    for (unsigned half = 0; half < 2; ++half) {
      common(kDeviceFeatureSelect, 4, half);
      bits |= common(kDeviceFeature, 4) << (32 * half);
    }
    return bits;
  }
  RingDriver& make_queue(unsigned index, uint16_t size, bool packed = false) {
    const uint64_t base = kRings + index * kRingStride;
    std::memset(ram->host() + base, 0, 0x3000);
    if (rings.size() <= index) rings.resize(index + 1);
    rings[index] = std::make_unique<RingDriver>(*ram, base, size, packed);
    const Virtqueue::Addresses at = rings[index]->addresses();
    common(kQueueSelect, 2, index);
    common(kQueueSize, 2, size);
    for (unsigned half = 0; half < 2; ++half) {
      common(kQueueDesc + 4 * half, 4, at.desc >> (32 * half));
      common(kQueueDriver + 4 * half, 4, at.driver >> (32 * half));
      common(kQueueDevice + 4 * half, 4, at.device >> (32 * half));
    }
    common(kQueueEnable, 2, 1);
    return *rings[index];
  }
  // A driver with these queues, running.
  void start(uint64_t features, unsigned queues, bool packed = false) {
    ASSERT_TRUE(negotiate(features | kVersion1 | (packed ? kRingPacked : 0)));
    for (unsigned i = 0; i < queues; ++i) make_queue(i, 8, packed);
    common(kDeviceStatus, 1, kAcknowledge | kDriver | kFeaturesOk | kDriverOk);
  }
  void kick(unsigned queue) { memory.store(kBar + 0x3000 + 4 * queue, 2, queue); }
  uint8_t* at(uint64_t address) { return ram->host() + address; }
  void put(uint64_t address, std::span<const uint8_t> bytes) {
    std::copy(bytes.begin(), bytes.end(), at(address));
  }

  std::recursive_mutex lock;
  memory::AddressSpace memory{"memory", lock};
  memory::AddressSpace ports{"ports", lock};
  std::unique_ptr<memory::RamBlock> ram;
  bus::pci::PciBus bus{{.memory = memory, .ports = ports, .intx = this, .apics = this}};
  bool pin = false;
  std::vector<unsigned> messages;  // vectors that were signalled
  std::vector<std::unique_ptr<RingDriver>> rings;
  std::unique_ptr<VirtioPci> function;

 private:
  void set_irq(unsigned, bool level) override { pin = level; }
  void deliver(const bus::ApicMessage& message) override { messages.push_back(message.vector); }
};

}  // namespace rhea::devices::virtio::testing
