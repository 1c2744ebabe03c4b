// A frame buffer with Bochs' display interface and nothing of a VGA ("-device bochs-display"): BAR 0 is the
// memory, BAR 2 the registers, one pixel format of 32 bits.
//
// QEMU docs/specs/standard-vga ("MMIO area spec", without the VGA's ports). Caller holds the machine lock.
#pragma once

#include <span>

#include "bus/pci/pci_function.h"
#include "devices/display/dispi.h"
#include "devices/display/edid.h"
#include "devices/display/watched_frame.h"
#include "display/screen.h"

namespace rhea::devices {

class BochsDisplay final : public bus::pci::PciFunction, public display::ScreenSource {
 public:
  struct Wiring {
    display::Screen* screen;           // null: nobody can look
    async::EventLoop* loop = nullptr;  // null: the picture is compared all the time
  };
  struct Options {
    uint64_t memory_bytes = uint64_t{16} << 20;  // a power of two, at least 1 MiB
    bool edid = true;
    unsigned width = 1280, height = 800;  // preferred
  };
  static Result<std::unique_ptr<BochsDisplay>> create(const Wiring& wiring, const Options& options,
                                                      std::span<const uint8_t> rom);
  ~BochsDisplay() override;

  std::string_view name() const override { return "bochs-display"; }
  void reset(bus::ResetKind kind) override;
  void state(bus::StateVisitor& v) override;
  std::optional<int64_t> refresh() override;
  void size_wanted(unsigned width, unsigned height) override;
  memory::RamBlock& memory() { return *memory_; }
  memory::IoHandler& mmio() { return mmio_; }
  static constexpr uint64_t kMmioSize = 0x1000;

 private:
  class Mmio final : public memory::IoHandler {
   public:
    explicit Mmio(BochsDisplay& owner) : owner_(owner) {}
    uint64_t io_read(uint64_t offset, unsigned size) override;
    void io_write(uint64_t offset, unsigned size, uint64_t value) override;
    memory::IoTraits io_traits() const override { return {.min = 1, .max = 4}; }

   private:
    uint8_t read_byte(uint64_t offset) const;
    BochsDisplay& owner_;
  };

  BochsDisplay(const Wiring& wiring, const Options& options, std::unique_ptr<memory::RamBlock> memory,
               std::unique_ptr<memory::RamBlock> rom);
  void picture_changed();

  Wiring wiring_;
  std::unique_ptr<memory::RamBlock> memory_, rom_;
  Dispi dispi_;
  bool has_edid_;
  Edid edid_;
  Mmio mmio_{*this};
  WatchedFrame frame_;
  bool asleep_ = false, blank_ = false;
};

}  // namespace rhea::devices
