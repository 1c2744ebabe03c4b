// A VGA with Bochs' display interface, as the PCI and the ISA adapter have it: registers, 0xa0000 window,
// linear frame buffer and what of all that is on the screen.
//
// See vga_registers, vga_memory, dispi, vga_text, vga_graphics, watched_frame. Where the window behaves as
// plain memory it is mapped as such. Caller holds the machine lock.
#pragma once

#include <memory>
#include <optional>

#include "async/clock.h"
#include "bus/device.h"
#include "devices/display/dispi.h"
#include "devices/display/edid.h"
#include "devices/display/vga_graphics.h"
#include "devices/display/vga_memory.h"
#include "devices/display/vga_registers.h"
#include "devices/display/vga_text.h"
#include "devices/display/watched_frame.h"
#include "display/screen.h"
#include "memory/address_space.h"

namespace rhea::devices {

class VgaCore final : public display::ScreenSource, private VgaRegisters::Listener {
 public:
  struct Wiring {
    async::Clock& clock;               // virtual time: blinking and retrace
    memory::AddressSpace* legacy;      // where the window at 0xa0000 is; null: there is none
    display::Screen* screen;           // null: nobody can look
    async::EventLoop* loop = nullptr;  // null: linear pictures are compared all the time
  };
  struct Options {
    uint64_t memory_bytes = uint64_t{16} << 20;  // a power of two from 1 MiB to 512 MiB
    bool edid = true;
    unsigned width = 1280, height = 800;  // preferred
  };
  static Result<std::unique_ptr<VgaCore>> create(const Wiring& wiring, const Options& options);
  ~VgaCore() override;

  // 0x3b0..0x3df.
  memory::IoHandler& ports() { return registers_; }
  // 0x1ce..0x1d1: index, data (on x86), data.
  memory::IoHandler& dispi_ports() { return dispi_ports_; }
  static constexpr uint16_t kDispiPortBase = 0x1ce, kDispiPorts = 4;
  // 0xa0000..0xbffff, for tests: create() has mapped it.
  memory::IoHandler& window() { return window_; }
  // 4 KiB: EDID, ports, display interface, extended registers.
  memory::IoHandler& mmio() { return mmio_; }
  static constexpr uint64_t kMmioSize = 0x1000;
  memory::RamBlock& memory() { return *memory_; }

  void reset();
  void state(bus::StateVisitor& v);

  std::optional<int64_t> refresh() override;
  bool text(display::TextPage& page) override;
  void size_wanted(unsigned width, unsigned height) override;

 private:
  class DispiPorts final : public memory::IoHandler {
   public:
    explicit DispiPorts(VgaCore& owner) : owner_(owner) {}
    uint64_t io_read(uint64_t offset, unsigned size) override;
    void io_write(uint64_t offset, unsigned size, uint64_t value) override;
    memory::IoTraits io_traits() const override { return {.min = 1, .max = 2}; }
    uint16_t index = 0;

   private:
    VgaCore& owner_;
  };
  class Mmio final : public memory::IoHandler {
   public:
    explicit Mmio(VgaCore& owner) : owner_(owner) {}
    uint64_t io_read(uint64_t offset, unsigned size) override;
    void io_write(uint64_t offset, unsigned size, uint64_t value) override;
    memory::IoTraits io_traits() const override { return {.min = 1, .max = 4}; }

   private:
    uint8_t read_byte(uint64_t offset);
    VgaCore& owner_;
  };
  enum class Shown : uint8_t { Nothing, Blank, Text, Graphics, Linear };

  VgaCore(const Wiring& wiring, const Options& options, std::unique_ptr<memory::RamBlock> memory);
  Result<> map_window();
  void picture_changed() override;
  void window_changed() override;
  void write_dispi(unsigned index, uint16_t value);
  bool dac_8_bits() const { return dispi_.dac_8_bits(); }
  Shown what() const;
  void show_blank();
  std::optional<int64_t> show_linear(const Dispi::Mode& mode);

  Wiring wiring_;
  std::unique_ptr<memory::RamBlock> memory_;
  VgaRegisters registers_;
  Dispi dispi_;
  VgaMemory window_;
  VgaText text_;
  VgaGraphics graphics_;
  DispiPorts dispi_ports_{*this};
  Mmio mmio_{*this};
  bool has_edid_;
  Edid edid_;
  std::optional<memory::MapId> window_map_, direct_map_;
  std::optional<VgaMemory::Direct> direct_;
  WatchedFrame linear_;
  Shown shown_ = Shown::Nothing;
  bool asleep_ = false;  // the screen waits for wake()
};

}  // namespace rhea::devices
