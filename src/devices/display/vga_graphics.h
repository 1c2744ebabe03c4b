// Draws the planar, CGA and 256-colour modes of a VGA.
//
// IBM PS/2 Hardware Interface Technical Reference, "All-Points-Addressable Modes". Each refresh compares the
// rows of the four planes with those drawn last. Caller holds the machine lock.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "devices/display/dispi.h"
#include "devices/display/vga_registers.h"
#include "display/screen.h"
#include "memory/ram_block.h"

namespace rhea::devices {

class VgaGraphics {
 public:
  struct Parts {
    const VgaRegisters& registers;
    const memory::RamBlock& memory;
  };
  explicit VgaGraphics(const Parts& parts) : parts_(parts) {}

  // vbe: a planar mode of the display interface, which decides size and place.
  void draw(display::Screen& screen, const std::optional<Dispi::Mode>& vbe, bool dac_8_bits);
  void forget() { drawn_ = {}; }

 private:
  enum class Kind : uint8_t { Planar, Interleaved, Packed256 };
  // Addresses and strides count words of four planes' bytes.
  struct Layout {
    Kind kind = Kind::Planar;
    unsigned width = 0, lines = 0, dots = 1;  // dots: surface pixels of a pixel
    unsigned start = 0, stride = 0, mask = 0;
    unsigned pan = 0, preset = 0, line_compare = 0;
    unsigned row_scans = 1, line_repeat = 1, row_bits = 0, row_shift = 0;
    uint8_t planes = 0x0f;
    bool pan_split = false;
    uint32_t palette = 0;
    bool dac_8_bits = false;
    bool operator==(const Layout&) const = default;
  };
  struct Line {
    unsigned address;
    bool below_split;
  };

  Layout layout(const std::optional<Dispi::Mode>& vbe, bool dac_8_bits) const;
  Line line(const Layout& layout, unsigned y) const;
  unsigned words_a_row(const Layout& layout) const;
  void update_palette(const Layout& layout);
  void fetch(const Layout& layout, unsigned address, std::vector<uint32_t>& words) const;
  void draw_row(const Layout& layout, const std::vector<uint32_t>& words, unsigned pan, uint32_t* to,
                unsigned width) const;

  Parts parts_;
  Layout drawn_;
  std::array<uint32_t, 256> colours_{};
  std::vector<uint32_t> shadow_, row_;
};

}  // namespace rhea::devices
