#include "devices/display/vga_graphics.h"

#include <algorithm>
#include <cstring>

#include "devices/display/row_changes.h"

namespace rhea::devices {

using namespace vga;

namespace {

constexpr unsigned kAddressMask = 0xffff;

// The sixteen pixels' worth of one word: its planes' bits, leftmost pixel first.
unsigned planar_pixel(uint32_t word, unsigned bit) {
  return (word >> bit & 1) | (word >> (bit + 7) & 2) | (word >> (bit + 14) & 4) | (word >> (bit + 21) & 8);
}

// Two bits a pixel: four pixels of planes 0 and 2, then four of planes 1 and 3.
unsigned interleaved_pixel(uint32_t word, unsigned index) {
  const unsigned plane = index / 4, shift = 6 - 2 * (index % 4);
  const uint32_t low = word >> (8 * plane + shift) & 3, high = word >> (8 * (plane + 2) + shift) & 3;
  return low | high << 2;
}

}  // namespace

VgaGraphics::Layout VgaGraphics::layout(const std::optional<Dispi::Mode>& vbe, bool dac_8_bits) const {
  const VgaRegisters& r = parts_.registers;
  Layout l;
  l.palette = r.palette_generation();
  l.dac_8_bits = dac_8_bits;
  l.planes = r.attribute(kPlaneEnable) & 0x0f;
  if (vbe) {
    l.width = vbe->width;
    l.lines = vbe->height;
    l.start = static_cast<unsigned>(vbe->start / 4);
    l.stride = static_cast<unsigned>(vbe->stride / 4);
    l.mask = static_cast<unsigned>(parts_.memory.size() / 4 - 1);
    l.line_compare = l.lines;
    return l;
  }
  const uint8_t mode = r.graphics(kMode), row_scan = r.crtc(kMaximumScanLine), crtc_mode = r.crtc(kCrtcMode);
  if ((mode & kMode256) != 0) {
    l.kind = Kind::Packed256;
  } else if ((mode & kModeInterleave) != 0) {
    l.kind = Kind::Interleaved;
  }
  const unsigned characters = r.crtc(kHorizontalDisplayEnd) + 1u;
  l.dots = (r.sequencer(kClocking) & kClockingHalf) != 0 ? 2 : 1;
  l.width = characters * 8 * l.dots;
  if (l.kind == Kind::Packed256) l.dots *= 2;
  l.lines = r.displayed_lines() << ((crtc_mode & 4) != 0 ? 1 : 0);
  l.mask = kAddressMask;
  l.start = r.start_address() + (r.crtc(kPresetRowScan) >> 5 & 3u);
  l.stride = r.crtc(kOffset) * 2u;
  l.row_scans = (row_scan & 0x1fu) + 1;
  l.line_repeat = (row_scan & kScanDouble) != 0 ? 2 : 1;
  l.preset = std::min(r.crtc(kPresetRowScan) & 0x1fu, l.row_scans - 1);
  // CGA and Hercules: bits of the row scan counter take the place of address bits 13 and 14.
  l.row_bits = ((crtc_mode & kCrtcNoRow0) == 0 ? 1u : 0) | ((crtc_mode & kCrtcNoRow1) == 0 ? 2u : 0);
  l.row_shift = (crtc_mode & kCrtcByte) != 0 ? 13 : 12;
  const unsigned pan = r.attribute(kPelPanning) & 0x0f;
  l.pan = l.kind == Kind::Packed256 ? pan / 2 & 3 : pan & 7;
  l.pan_split = (r.attribute(kAttributeMode) & kAttributePanSplit) != 0;
  l.line_compare = r.line_compare();
  return l;
}

// Which address display line y starts at.
VgaGraphics::Line VgaGraphics::line(const Layout& l, unsigned y) const {
  const bool below = y > l.line_compare;
  const unsigned lines = below ? y - l.line_compare - 1 : y;
  const unsigned scans = lines / l.line_repeat + (below ? 0 : l.preset);
  const unsigned scan = scans % l.row_scans;
  unsigned address = (below ? 0 : l.start) + scans / l.row_scans * l.stride;
  const unsigned replaced = l.row_bits << l.row_shift;
  if (replaced != 0) address = (address & ~replaced) | ((scan & l.row_bits) << l.row_shift);
  return {address & l.mask, below};
}

// One more than fits, for panning.
unsigned VgaGraphics::words_a_row(const Layout& l) const {
  const unsigned pixels = (l.width + l.dots - 1) / l.dots;
  const unsigned each = l.kind == Kind::Packed256 ? 4 : 8;
  return (pixels + each - 1) / each + 1;
}

void VgaGraphics::update_palette(const Layout& l) {
  const VgaRegisters& r = parts_.registers;
  for (unsigned i = 0; i < 256; ++i) {
    colours_[i] =
        l.kind == Kind::Packed256 ? r.colour(i, l.dac_8_bits) : r.colour16(i & l.planes, l.dac_8_bits);
  }
}

void VgaGraphics::fetch(const Layout& l, unsigned address, std::vector<uint32_t>& words) const {
  const uint8_t* memory = parts_.memory.host();
  const unsigned mask = std::min<unsigned>(l.mask, static_cast<unsigned>(parts_.memory.size() / 4 - 1));
  for (size_t i = 0; i < words.size(); ++i)
    std::memcpy(&words[i], memory + size_t{(address + i) & mask} * 4, 4);
}

void VgaGraphics::draw_row(const Layout& l, const std::vector<uint32_t>& words, unsigned pan, uint32_t* to,
                           unsigned width) const {
  for (unsigned x = 0; x < width; ++x) {
    const unsigned pixel = x / l.dots + pan;
    unsigned index = 0;
    switch (l.kind) {
      case Kind::Packed256: index = words[pixel / 4] >> (8 * (pixel % 4)) & 0xff; break;
      case Kind::Interleaved: index = interleaved_pixel(words[pixel / 8], pixel % 8); break;
      case Kind::Planar: index = planar_pixel(words[pixel / 8], 7 - pixel % 8); break;
    }
    to[x] = colours_[index];
  }
}

void VgaGraphics::draw(display::Screen& screen, const std::optional<Dispi::Mode>& vbe, bool dac_8_bits) {
  const Layout l = layout(vbe, dac_8_bits);
  display::Surface& surface = screen.resize(l.width, l.lines);
  const unsigned width = std::min(surface.width(), l.width), lines = std::min(surface.height(), l.lines);
  const size_t words = words_a_row(l);
  const bool all = l != drawn_;
  if (all) {
    update_palette(l);
    shadow_.assign(words * lines, 0);
    drawn_ = l;
  }
  row_.resize(words);
  RowChanges changes(screen);
  for (unsigned y = 0; y < lines; ++y) {
    const Line from = line(l, y);
    fetch(l, from.address, row_);
    uint32_t* known = shadow_.data() + words * y;
    if (!all && std::memcmp(known, row_.data(), words * 4) == 0) continue;
    std::memcpy(known, row_.data(), words * 4);
    draw_row(l, row_, from.below_split && l.pan_split ? 0 : l.pan, surface.row(y).data(), width);
    changes.add(y, 1, 0, width);
  }
}

}  // namespace rhea::devices
