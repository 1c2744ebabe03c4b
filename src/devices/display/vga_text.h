// Draws the text modes of a VGA: cells of a character and an attribute, fonts in plane 2, the cursor,
// blinking, underlines, panning and the split screen.
//
// IBM PS/2 Hardware Interface Technical Reference, "Alphanumeric Modes". Cells that look as before are not
// drawn again. Caller holds the machine lock.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "devices/display/vga_memory.h"
#include "devices/display/vga_registers.h"
#include "display/screen.h"

namespace rhea::devices {

class VgaText {
 public:
  struct Parts {
    const VgaRegisters& registers;
    const VgaMemory& window;
    const memory::RamBlock& memory;
  };
  explicit VgaText(const Parts& parts) : parts_(parts) {}

  static constexpr int64_t kBlinkNs =
      267'000'000;  // the cursor is on and off for so long; characters twice that

  // now_ns: virtual time. Returns whether anything on the page blinks.
  bool draw(display::Screen& screen, int64_t now_ns, bool dac_8_bits);
  void page(display::TextPage& page) const;
  void forget() { drawn_ = {}; }

 private:
  struct Layout {
    unsigned columns = 0, cell_width = 0, cell_height = 0, lines = 0;
    unsigned start = 0, stride = 0, pan = 0, preset = 0, line_compare = 0;
    unsigned fonts[2]{};  // byte addresses in plane 2, for attribute bit 3 = 0, 1
    uint8_t mode = 0, underline = 0;
    bool doubled = false, scan_doubled = false;
    uint32_t palette = 0, font = 0;
    bool dac_8_bits = false;
    bool operator==(const Layout&) const = default;
  };
  // A stretch of scan lines of one row of characters.
  struct Row {
    unsigned address, y, scan, count;
  };

  Layout layout(bool dac_8_bits) const;
  std::vector<Row> rows(const Layout& layout) const;
  uint32_t cell(unsigned address) const;
  uint32_t key(const Layout& layout, unsigned address, int64_t now_ns, bool& blinks) const;
  void draw_cell(display::Surface& surface, const Layout& layout, const Row& row, unsigned column,
                 uint32_t key) const;
  uint16_t glyph(const Layout& layout, uint32_t key, unsigned scan) const;

  Parts parts_;
  Layout drawn_;
  std::array<uint32_t, 16> colours_{};
  std::vector<uint32_t> keys_;
};

}  // namespace rhea::devices
