// How the processor reaches the memory of a VGA through 0xa0000..0xbffff: four planes behind the latches, the
// write modes and the two chained views.
//
// IBM PS/2 Hardware Interface Technical Reference, "Graphics Controller"; Intel's open-source register
// reference, volume "VGA". The planes' bytes are interleaved in one linear memory: plane p of address a is at
// 4 * a + p. Chained views are packed (address / 4 and / 2) as on super VGAs, so that 256-colour modes are
// linear; a program that mixes chained and unchained views of one picture sees other addresses than on IBM's
// adapter. Caller holds the machine lock.
#pragma once

#include <cstdint>
#include <optional>

#include "devices/display/dispi.h"
#include "devices/display/vga_registers.h"
#include "memory/io_handler.h"
#include "memory/ram_block.h"

namespace rhea::devices {

class VgaMemory final : public memory::IoHandler {
 public:
  static constexpr uint64_t kWindow = 0xa0000, kWindowSize = 0x20000;

  struct Wiring {
    const VgaRegisters& registers;
    const Dispi& dispi;
    memory::RamBlock& memory;  // a power of two, at least 256 KiB
    VgaRegisters::Listener& listener;
  };
  explicit VgaMemory(const Wiring& wiring) : wiring_(wiring) {}

  // Offsets are addresses minus 0xa0000.
  uint64_t io_read(uint64_t offset, unsigned size) override;
  void io_write(uint64_t offset, unsigned size, uint64_t value) override;
  memory::IoTraits io_traits() const override { return {.min = 1, .max = 8}; }

  // A part of the window that behaves as plain memory now.
  struct Direct {
    uint64_t memory_offset, size;  // at the start of the window
    bool operator==(const Direct&) const = default;
  };
  std::optional<Direct> direct() const;

  // Counts writes to plane 2, where the fonts of text modes are.
  uint32_t font_generation() const { return font_generation_; }

  void reset() { latch_ = 0; }
  void state(bus::StateVisitor& v) { v.field("latch", latch_); }

 private:
  std::optional<uint64_t> decode(uint64_t offset) const;
  uint8_t read_byte(uint64_t address);
  void write_byte(uint64_t address, uint8_t value);
  uint32_t combine(uint8_t value) const;
  uint32_t& word(uint64_t index) const;

  Wiring wiring_;
  uint32_t latch_ = 0;
  uint32_t font_generation_ = 0;
};

}  // namespace rhea::devices
