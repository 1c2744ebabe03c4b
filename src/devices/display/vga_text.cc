#include "devices/display/vga_text.h"

#include <algorithm>

#include "devices/display/row_changes.h"

namespace rhea::devices {

using namespace vga;

namespace {

// In a cell's key, above the character and the attribute.
constexpr uint32_t kCursorHere = 0x10000, kHidden = 0x20000;
constexpr unsigned kAddressMask = 0xffff;
constexpr uint8_t kLineFirst = 0xc0, kLineLast = 0xdf;

// Where each of the eight fonts of 8 KiB is in plane 2.
unsigned font_address(unsigned select) {
  return (select & 3) * 0x4000 + (select >> 2) * 0x2000;
}

}  // namespace

VgaText::Layout VgaText::layout(bool dac_8_bits) const {
  const VgaRegisters& r = parts_.registers;
  Layout l;
  const uint8_t clocking = r.sequencer(kClocking), map = r.sequencer(kCharacterMap);
  l.mode = r.attribute(kAttributeMode);
  l.doubled = (clocking & kClockingHalf) != 0;
  l.cell_width = ((clocking & kClocking8Dots) != 0 ? 8u : 9u) * (l.doubled ? 2 : 1);
  l.columns = r.crtc(kHorizontalDisplayEnd) + 1u;
  l.scan_doubled = (r.crtc(kMaximumScanLine) & kScanDouble) != 0;
  l.cell_height = (r.crtc(kMaximumScanLine) & 0x1fu) + 1;
  l.lines = r.displayed_lines();
  l.start = r.start_address();
  l.stride = r.crtc(kOffset) * 2u;
  l.preset = std::min(r.crtc(kPresetRowScan) & 0x1fu, l.cell_height - 1);
  // 9-dot cells: 8 is no shift, 0 one dot; 8-dot cells: 0 is none.
  const unsigned pan = r.attribute(kPelPanning) & 0x0f;
  if ((clocking & kClocking8Dots) == 0) {
    l.pan = pan >= 8 ? 0 : pan + 1;
  } else {
    l.pan = pan & 7;
  }
  l.pan *= l.doubled ? 2 : 1;
  l.start += r.crtc(kPresetRowScan) >> 5 & 3;
  l.line_compare = r.line_compare();
  l.fonts[0] = font_address((map & 3u) | (map >> 2 & 4u));
  l.fonts[1] = font_address((map >> 2 & 3u) | (map >> 3 & 4u));
  l.underline = r.crtc(kUnderline) & 0x1f;
  l.palette = r.palette_generation();
  l.font = parts_.window.font_generation();
  l.dac_8_bits = dac_8_bits;
  return l;
}

std::vector<VgaText::Row> VgaText::rows(const Layout& l) const {
  std::vector<Row> rows;
  const unsigned repeat = l.scan_doubled ? 2 : 1;
  unsigned address = l.start, scan = l.preset;
  bool split = false;
  for (unsigned y = 0; y < l.lines;) {
    unsigned count = std::min((l.cell_height - scan) * repeat, l.lines - y);
    const bool splits = !split && l.line_compare + 1 > y && l.line_compare + 1 <= y + count;
    if (splits) count = l.line_compare + 1 - y;
    rows.push_back({address & kAddressMask, y, scan, count});
    y += count;
    address = splits ? 0 : address + l.stride;
    split = split || splits;
    scan = 0;
  }
  return rows;
}

uint32_t VgaText::cell(unsigned address) const {
  const uint8_t* at = parts_.memory.host() + ((uint64_t{address} & kAddressMask) * 4);
  return static_cast<uint32_t>(at[0] | at[1] << 8);
}

uint32_t VgaText::key(const Layout& l, unsigned address, int64_t now_ns, bool& blinks) const {
  const VgaRegisters& r = parts_.registers;
  uint32_t key = cell(address);
  if ((l.mode & kAttributeBlink) != 0 && (key & 0x8000) != 0) {
    blinks = true;
    if (now_ns / (2 * kBlinkNs) % 2 != 0) key |= kHidden;
  }
  if ((address & kAddressMask) == r.cursor_address() && (r.crtc(kCursorStart) & kCursorOff) == 0) {
    blinks = true;
    const unsigned first = r.crtc(kCursorStart) & 0x1f, last = r.crtc(kCursorEnd) & 0x1f;
    if (now_ns / kBlinkNs % 2 == 0) key |= kCursorHere | first << 20 | last << 25;
  }
  return key;
}

// The dots of a cell's scan line, the leftmost in bit 8.
uint16_t VgaText::glyph(const Layout& l, uint32_t key, unsigned scan) const {
  const uint8_t character = static_cast<uint8_t>(key), attribute = static_cast<uint8_t>(key >> 8);
  if ((key & kCursorHere) != 0 && scan >= (key >> 20 & 31) && scan <= (key >> 25 & 31)) return 0x1ff;
  if ((key & kHidden) != 0) return 0;
  const bool mono = (l.mode & kAttributeMono) != 0;
  if (mono && (attribute & 0x07) == 1 && scan == l.underline) return 0x1ff;
  const uint64_t at = l.fonts[attribute >> 3 & 1] + character * 32u + scan;
  const uint8_t dots = parts_.memory.host()[at * 4 + 2];
  const bool line = character >= kLineFirst && character <= kLineLast;
  const bool ninth = line && (l.mode & kAttributeLineGraphics) != 0 && (dots & 1) != 0;
  return static_cast<uint16_t>(dots << 1 | (ninth ? 1 : 0));
}

void VgaText::draw_cell(display::Surface& surface, const Layout& l, const Row& row, unsigned column,
                        uint32_t key) const {
  const uint8_t attribute = static_cast<uint8_t>(key >> 8);
  const bool blink = (l.mode & kAttributeBlink) != 0;
  const uint32_t front = colours_[attribute & 0x0f];
  const uint32_t back = colours_[blink ? attribute >> 4 & 7 : attribute >> 4];
  const int left = static_cast<int>(column * l.cell_width) - static_cast<int>(l.pan);
  const int right = std::min(left + static_cast<int>(l.cell_width), static_cast<int>(surface.width()));
  const unsigned shift = l.doubled ? 1 : 0;
  for (unsigned i = 0; i < row.count && row.y + i < surface.height(); ++i) {
    const unsigned scan = row.scan + (l.scan_doubled ? i / 2 : i);
    const unsigned dots = glyph(l, key, scan);
    uint32_t* to = surface.row(row.y + i).data();
    for (int x = std::max(left, 0); x < right; ++x)
      to[x] = (dots << (static_cast<unsigned>(x - left) >> shift) & 0x100) != 0 ? front : back;
  }
}

bool VgaText::draw(display::Screen& screen, int64_t now_ns, bool dac_8_bits) {
  const Layout l = layout(dac_8_bits);
  display::Surface& surface = screen.resize(l.columns * l.cell_width, l.lines);
  const std::vector<Row> lines = rows(l);
  const unsigned columns = l.columns + (l.pan != 0 ? 1 : 0);
  const bool all = l != drawn_ || keys_.size() != lines.size() * columns;
  if (all) {
    for (unsigned i = 0; i < colours_.size(); ++i)
      colours_[i] = parts_.registers.colour16(i & parts_.registers.attribute(kPlaneEnable), dac_8_bits);
    keys_.resize(lines.size() * columns);
    drawn_ = l;
  }
  bool blinks = false;
  RowChanges changes(screen);
  uint32_t* known = keys_.data();
  for (const Row& row : lines) {
    unsigned first = columns, last = 0;
    for (unsigned column = 0; column < columns; ++column, ++known) {
      const uint32_t fresh = key(l, row.address + column, now_ns, blinks);
      if (fresh == *known && !all) continue;
      *known = fresh;
      draw_cell(surface, l, row, column, fresh);
      first = std::min(first, column);
      last = column + 1;
    }
    if (first < last) {
      const unsigned begin = first == 0 ? 0 : first * l.cell_width - l.pan;
      changes.add(row.y, row.count, begin, std::min(last * l.cell_width, surface.width()));
    }
  }
  return blinks;
}

void VgaText::page(display::TextPage& page) const {
  const Layout l = layout(false);
  const VgaRegisters& r = parts_.registers;
  page.columns = l.columns;
  page.rows = std::max(1u, l.lines / (l.cell_height * (l.scan_doubled ? 2 : 1)));
  page.cells.resize(size_t{page.columns} * page.rows);
  page.cursor_shown = false;
  for (unsigned y = 0; y < page.rows; ++y) {
    for (unsigned x = 0; x < page.columns; ++x) {
      const unsigned address = l.start + y * l.stride + x;
      const uint32_t value = cell(address);
      page.cells[size_t{y} * page.columns + x] = {static_cast<uint8_t>(value),
                                                  static_cast<uint8_t>(value >> 8)};
      if ((address & kAddressMask) != r.cursor_address()) continue;
      page.cursor_x = x;
      page.cursor_y = y;
      page.cursor_shown = (r.crtc(kCursorStart) & kCursorOff) == 0;
    }
  }
}

}  // namespace rhea::devices
