// A virtio device on a PCI bus: the modern interface (capabilities, a memory BAR), the legacy one (an I/O
// BAR) or both ("transitional"), MSI-X and INTx.
//
// VIRTIO 1.2, 4.1. BARs as in QEMU: 0 legacy I/O, 1 MSI-X, 4 modern. Missing: VIRTIO_F_RING_RESET,
// notification data, shared memory regions, a PCI Express capability. Caller holds the machine lock.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "bus/pci/msi.h"
#include "bus/pci/pci_function.h"
#include "devices/virtio/virtio_device.h"

namespace rhea::devices::virtio {

class VirtioPci final : public bus::pci::PciFunction, private Transport {
 public:
  enum class Interface : uint8_t { Transitional, Modern, Legacy };
  struct Options {
    Interface interface = Interface::Transitional;
    unsigned vectors = 2;  // of MSI-X; 0: none
  };
  VirtioPci(std::unique_ptr<VirtioDevice> device, const Options& options);
  ~VirtioPci() override;

  std::string_view name() const override { return device_->type().name; }
  void reset(bus::ResetKind kind) override;
  void state(bus::StateVisitor& v) override;
  uint32_t config_read(unsigned offset, unsigned size) override;

  VirtioDevice& device() { return *device_; }
  // An option ROM for the firmware; before the first reset.
  void set_rom(std::unique_ptr<memory::RamBlock> rom);
  // The BARs' contents, for tests: 0 legacy (if there), 1 MSI-X (if there), 4 modern (if there).
  memory::IoHandler* bar_handler(unsigned index);
  uint64_t bar_size(unsigned index) const;

 private:
  struct Modern final : memory::IoHandler {
    explicit Modern(VirtioPci& p) : pci(p) {}
    uint64_t io_read(uint64_t offset, unsigned size) override;
    void io_write(uint64_t offset, unsigned size, uint64_t value) override;
    VirtioPci& pci;
  };
  struct Legacy final : memory::IoHandler {
    explicit Legacy(VirtioPci& p) : pci(p) {}
    uint64_t io_read(uint64_t offset, unsigned size) override;
    void io_write(uint64_t offset, unsigned size, uint64_t value) override;
    VirtioPci& pci;
  };
  // Table at 0 and pending bits in the upper half of BAR 1.
  struct Vectors final : memory::IoHandler {
    explicit Vectors(VirtioPci& p) : pci(p) {}
    uint64_t io_read(uint64_t offset, unsigned size) override;
    void io_write(uint64_t offset, unsigned size, uint64_t value) override;
    memory::IoTraits io_traits() const override { return {.min = 4, .max = 8}; }
    VirtioPci& pci;
  };

  static bus::pci::Identity identity(const VirtioDevice& device, const Options& options);
  void add_modern();
  void add_virtio_capability(unsigned at, uint8_t type, uint32_t offset, uint32_t length, unsigned size);
  void config_written(unsigned offset, unsigned size) override;
  void renew_ram();
  bool window(uint32_t& at, unsigned& size) const;

  void interrupt_queue(unsigned queue) override;
  void interrupt_config() override;
  void interrupt(uint16_t vector, uint8_t isr);
  uint8_t take_isr();
  uint16_t checked_vector(uint64_t vector) const;

  Virtqueue* selected();
  uint32_t common_read(unsigned offset);
  void common_write(unsigned offset, uint32_t value);
  void common_write_queue(unsigned offset, uint32_t value);
  uint32_t legacy_read(unsigned offset);
  void legacy_write(unsigned offset, uint32_t value);
  void legacy_place_queue(uint32_t pfn);
  void write_status(uint8_t status);
  unsigned legacy_config_at() const;
  uint64_t legacy_size() const;
  uint64_t vectors_size() const;

  std::unique_ptr<VirtioDevice> device_;
  std::unique_ptr<memory::RamBlock> rom_;
  Options options_;
  Modern modern_{*this};
  Legacy legacy_{*this};
  Vectors vectors_{*this};
  std::unique_ptr<bus::pci::Msix> msix_;
  uint32_t device_feature_select_ = 0, driver_feature_select_ = 0;
  uint16_t queue_select_ = 0;
  uint16_t config_vector_ = kNoVector;
  uint8_t config_generation_ = 0;
  uint8_t isr_ = 0;
};

}  // namespace rhea::devices::virtio
