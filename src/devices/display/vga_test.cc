// The VGA as a program sees it: modes set through ports, memory written through the window, pixels read from
// the screen.
#include <gtest/gtest.h>

#include "async/fake_clock.h"
#include "devices/display/bochs_display.h"
#include "devices/display/ramfb.h"
#include "devices/display/vga_core.h"

namespace rhea::devices {
namespace {

using namespace vga;

struct Looker : display::Viewer {
  void surface_changed(const display::Surface&) override { ++surfaces; }
  void changed(const display::Rect& area) override { areas.push_back(area); }
  int surfaces = 0;
  std::vector<display::Rect> areas;
};

constexpr int64_t kFrame = 40'000'000;

struct VgaTest : ::testing::Test {
  VgaTest() {
    vga = *VgaCore::create({.clock = clock, .legacy = &memory, .screen = &screen}, {});
    vga->reset();
    screen.add(looker);
  }
  ~VgaTest() override { screen.remove(looker); }

  void out(unsigned port, unsigned value) { vga->ports().io_write(port - kPortBase, 1, value); }
  unsigned in(unsigned port) { return static_cast<unsigned>(vga->ports().io_read(port - kPortBase, 1)); }
  void indexed(unsigned port, unsigned index, unsigned value) {
    out(port, index);
    out(port + 1, value);
  }
  void attribute(unsigned index, unsigned value) {
    in(kStatus1Colour);
    out(kAttributeIndex, index);
    out(kAttributeIndex, value);
  }
  void dispi(unsigned index, unsigned value) {
    vga->dispi_ports().io_write(0, 2, index);
    vga->dispi_ports().io_write(1, 2, value);
  }
  unsigned dispi(unsigned index) {
    vga->dispi_ports().io_write(0, 2, index);
    return static_cast<unsigned>(vga->dispi_ports().io_read(1, 2));
  }
  void poke(uint64_t address, unsigned value, unsigned size = 1) { memory.store(address, size, value); }
  unsigned peek(uint64_t address) { return static_cast<unsigned>(memory.load(address, 1)); }
  uint32_t pixel(unsigned x, unsigned y) { return screen.surface().row(y)[x] & 0xffffff; }

  // Sixteen colours: index i is 0x040404 * i in six-bit units 4 * i.
  void palette() {
    out(kPelMask, 0xff);
    out(kPelWriteIndex, 0);
    for (unsigned i = 0; i < 256; ++i) {
      for (unsigned part = 0; part < 3; ++part) out(kPelData, part == 0 ? i & 0x3f : 0);
    }
    for (unsigned i = 0; i < 16; ++i) attribute(i, i);
    attribute(kPlaneEnable, 0x0f);
  }
  void size(unsigned characters, unsigned lines, unsigned offset) {
    indexed(kCrtcIndexColour, kVerticalRetraceEnd, 0);
    indexed(kCrtcIndexColour, kHorizontalDisplayEnd, characters - 1);
    indexed(kCrtcIndexColour, kVerticalDisplayEnd, (lines - 1) & 0xff);
    indexed(kCrtcIndexColour, kOverflow, ((lines - 1) >> 7 & 2) | ((lines - 1) >> 3 & 0x40) | 0x10);
    indexed(kCrtcIndexColour, kMaximumScanLine, 0x40);
    indexed(kCrtcIndexColour, kOffset, offset);
    indexed(kCrtcIndexColour, kLineCompare, 0xff);
    indexed(kCrtcIndexColour, kCrtcMode, 0xe3);
  }
  void video_on() {
    in(kStatus1Colour);
    out(kAttributeIndex, kPaletteSource);
  }
  void text_mode() {
    out(kMiscWrite, 0x67);
    palette();
    indexed(kSequencerIndex, kClocking, 0);
    indexed(kSequencerIndex, kMapMask, 3);
    indexed(kSequencerIndex, kMemoryMode, 2);
    indexed(kGraphicsIndex, kMode, 0x10);
    indexed(kGraphicsIndex, kMiscellaneous, 0x0e);
    indexed(kGraphicsIndex, kBitMask, 0xff);
    size(80, 400, 40);
    indexed(kCrtcIndexColour, kMaximumScanLine, 0x4f);
    indexed(kCrtcIndexColour, kCursorStart, 0x20);
    attribute(kAttributeMode, 0x0c);
    attribute(kPelPanning, 8);
    video_on();
  }
  // One glyph, through the planar view as BIOSes do.
  void font(unsigned character, uint8_t dots) {
    indexed(kSequencerIndex, kMapMask, 4);
    indexed(kSequencerIndex, kMemoryMode, 6);
    indexed(kGraphicsIndex, kMode, 0);
    indexed(kGraphicsIndex, kMiscellaneous, 4);
    for (unsigned i = 0; i < 16; ++i) poke(0xa0000 + character * 32 + i, dots);
    indexed(kSequencerIndex, kMapMask, 3);
    indexed(kSequencerIndex, kMemoryMode, 2);
    indexed(kGraphicsIndex, kMode, 0x10);
    indexed(kGraphicsIndex, kMiscellaneous, 0x0e);
  }
  void graphics_mode(unsigned mode, unsigned memory_mode) {
    out(kMiscWrite, 0x67);
    palette();
    indexed(kSequencerIndex, kClocking, 1);
    indexed(kSequencerIndex, kMapMask, 0x0f);
    indexed(kSequencerIndex, kMemoryMode, memory_mode);
    indexed(kGraphicsIndex, kMode, mode);
    indexed(kGraphicsIndex, kMiscellaneous, 5);
    indexed(kGraphicsIndex, kColourDontCare, 0x0f);
    indexed(kGraphicsIndex, kBitMask, 0xff);
    attribute(kAttributeMode, 0x01);
    video_on();
  }

  std::recursive_mutex lock;
  memory::AddressSpace memory{"memory", lock};
  async::FakeClock clock;
  display::Screen screen{clock, "vga"};
  Looker looker;
  std::unique_ptr<VgaCore> vga;
};

TEST_F(VgaTest, text_shows_glyphs_of_plane_2_in_the_attributes_colours) {
  text_mode();
  font('A', 0x81);
  poke(0xb8000 + 2 * 81, 'A' | 0x2100, 2);  // row 1, column 1: colour 1 on 2
  clock.advance(kFrame);
  EXPECT_EQ(screen.surface().width(), 720u);
  EXPECT_EQ(screen.surface().height(), 400u);
  EXPECT_EQ(pixel(9, 16), 0x040000u);
  EXPECT_EQ(pixel(10, 16), 0x080000u);
  EXPECT_EQ(pixel(16, 16), 0x040000u);
  EXPECT_EQ(pixel(17, 16), 0x080000u);  // the ninth dot
  EXPECT_EQ(peek(0xb8000 + 2 * 81), unsigned{'A'});
}

TEST_F(VgaTest, line_drawing_characters_fill_the_ninth_dot) {
  text_mode();
  font(0xc4, 0xff);
  poke(0xb8000, 0xc4 | 0x0100, 2);
  clock.advance(kFrame);
  EXPECT_EQ(pixel(8, 0), 0x040000u);
}

TEST_F(VgaTest, only_the_cells_that_change_are_redrawn_and_an_idle_page_is_left_alone) {
  text_mode();
  clock.advance(kFrame);
  looker.areas.clear();
  clock.advance(10 * kFrame);
  EXPECT_TRUE(looker.areas.empty());
  EXPECT_EQ(clock.next_deadline(), std::nullopt);
  poke(0xb8000 + 2 * 5, 'x' | 0x0100, 2);
  clock.advance(kFrame);
  ASSERT_EQ(looker.areas.size(), 1u);
  EXPECT_EQ(looker.areas[0], (display::Rect{45, 0, 9, 16}));
}

TEST_F(VgaTest, the_cursor_blinks) {
  text_mode();
  indexed(kCrtcIndexColour, kCursorStart, 14);
  indexed(kCrtcIndexColour, kCursorEnd, 15);
  poke(0xb8000, ' ' | 0x0100, 2);
  bool on = false, off = false;
  for (int i = 0; i < 40; ++i) {
    clock.advance(kFrame);
    (pixel(0, 15) == 0x040000u ? on : off) = true;
    EXPECT_EQ(pixel(0, 13), 0u);
  }
  EXPECT_TRUE(on && off);
}

TEST_F(VgaTest, a_split_screen_shows_address_0_below_the_line) {
  text_mode();
  font('A', 0xff);
  for (unsigned i = 0; i < 2000; ++i) poke(0xb8000 + 2 * i, ' ' | 0x0100, 2);
  poke(0xb8000, 'A' | 0x0100, 2);
  indexed(kCrtcIndexColour, kStartLow, 80);
  indexed(kCrtcIndexColour, kLineCompare, 99);
  indexed(kCrtcIndexColour, kOverflow, 2);
  indexed(kCrtcIndexColour, kMaximumScanLine, 0x0f);
  clock.advance(kFrame);
  EXPECT_EQ(pixel(0, 99), 0u);
  EXPECT_EQ(pixel(0, 100), 0x040000u);
}

TEST_F(VgaTest, planar_memory_has_write_modes_and_latches) {
  graphics_mode(0, 6);
  indexed(kSequencerIndex, kMapMask, 0x05);
  poke(0xa0000, 0xf0);
  indexed(kGraphicsIndex, kReadMap, 2);
  EXPECT_EQ(peek(0xa0000), 0xf0u);
  indexed(kGraphicsIndex, kReadMap, 1);
  EXPECT_EQ(peek(0xa0000), 0u);
  indexed(kSequencerIndex, kMapMask, 0x0f);
  indexed(kGraphicsIndex, kMode, 1);  // copies the latches
  peek(0xa0000);
  poke(0xa0100, 0);
  indexed(kGraphicsIndex, kMode, 2);
  indexed(kGraphicsIndex, kBitMask, 0x0f);
  peek(0xa0100);
  poke(0xa0100, 0x0a);  // colour 10 into the right half
  indexed(kGraphicsIndex, kMode, 8);
  indexed(kGraphicsIndex, kColourCompare, 0x0a);
  EXPECT_EQ(peek(0xa0100), 0x0fu);
  indexed(kGraphicsIndex, kColourCompare, 0x05);
  EXPECT_EQ(peek(0xa0100), 0xf0u);
  indexed(kGraphicsIndex, kMode, 3);
  indexed(kGraphicsIndex, kBitMask, 0xff);
  indexed(kGraphicsIndex, kSetReset, 0x0f);
  peek(0xa0100);
  poke(0xa0100, 0x80);
  indexed(kGraphicsIndex, kMode, 8);
  indexed(kGraphicsIndex, kColourCompare, 0x0f);
  EXPECT_EQ(peek(0xa0100), 0x80u);
}

TEST_F(VgaTest, mode_12h_shows_four_planes) {
  graphics_mode(0, 6);
  size(80, 480, 40);
  indexed(kSequencerIndex, kMapMask, 0x09);
  poke(0xa0000 + 80 * 3 + 1, 0x40);
  clock.advance(kFrame);
  EXPECT_EQ(screen.surface().width(), 640u);
  EXPECT_EQ(screen.surface().height(), 480u);
  EXPECT_EQ(pixel(9, 3), 0x240000u);
  EXPECT_EQ(pixel(8, 3), 0u);
}

TEST_F(VgaTest, mode_13h_is_plain_memory_and_doubles_pixels) {
  graphics_mode(0x40, 0x0e);
  size(80, 400, 40);
  indexed(kCrtcIndexColour, kMaximumScanLine, 0x41);
  attribute(kAttributeMode, 0x41);
  video_on();
  const auto view = memory.view();
  ASSERT_NE(view->find(0xa0000), nullptr);
  EXPECT_NE(view->find(0xa0000)->ram, nullptr);
  poke(0xa0000 + 320 * 10 + 7, 0x11);
  clock.advance(kFrame);
  EXPECT_EQ(screen.surface().width(), 640u);
  for (unsigned y : {20u, 21u}) {
    for (unsigned x : {14u, 15u}) EXPECT_EQ(pixel(x, y), 0x450000u);
  }
  EXPECT_EQ(pixel(16, 20), 0u);
  EXPECT_EQ(pixel(14, 22), 0u);
  indexed(kSequencerIndex, kMapMask, 2);  // no plain memory any more
  EXPECT_EQ(memory.view()->find(0xa0000)->ram, nullptr);
}

TEST_F(VgaTest, mode_x_writes_every_fourth_pixel) {
  graphics_mode(0x40, 0x06);
  size(80, 400, 40);
  indexed(kCrtcIndexColour, kMaximumScanLine, 0x41);
  indexed(kSequencerIndex, kMapMask, 4);
  poke(0xa0000 + 1, 0x3f);
  clock.advance(kFrame);
  EXPECT_EQ(pixel(12, 0), 0xff0000u);
  EXPECT_EQ(pixel(11, 0), 0u);
  EXPECT_EQ(pixel(14, 0), 0u);
}

TEST_F(VgaTest, cga_mode_4_has_two_banks_and_two_bits_a_pixel) {
  graphics_mode(0x30, 0x02);
  indexed(kGraphicsIndex, kMiscellaneous, 0x0f);
  indexed(kSequencerIndex, kMapMask, 3);
  indexed(kSequencerIndex, kClocking, 9);
  size(40, 400, 20);
  indexed(kCrtcIndexColour, kMaximumScanLine, 0xc1);
  indexed(kCrtcIndexColour, kCrtcMode, 0xa2);
  poke(0xb8000, 0xc0);           // row 0, pixel 0: 3
  poke(0xb8000 + 0x2000, 0x30);  // row 1, pixel 1: 3
  poke(0xb8000 + 81, 0x02);      // row 2, pixel 7: 2
  clock.advance(kFrame);
  EXPECT_EQ(screen.surface().width(), 640u);
  EXPECT_EQ(screen.surface().height(), 400u);
  EXPECT_EQ(pixel(0, 0), 0x0c0000u);
  EXPECT_EQ(pixel(1, 1), 0x0c0000u);
  EXPECT_EQ(pixel(2, 2), 0x0c0000u);
  EXPECT_EQ(pixel(0, 2), 0u);
  EXPECT_EQ(pixel(14, 4), 0x080000u);
}

TEST_F(VgaTest, screen_off_is_black) {
  text_mode();
  font('A', 0xff);
  poke(0xb8000, 'A' | 0x0100, 2);
  clock.advance(kFrame);
  EXPECT_NE(pixel(0, 0), 0u);
  indexed(kSequencerIndex, kClocking, kClockingScreenOff);
  clock.advance(kFrame);
  EXPECT_EQ(pixel(0, 0), 0u);
  indexed(kSequencerIndex, kClocking, 0);
  clock.advance(kFrame);
  EXPECT_NE(pixel(0, 0), 0u);
}

TEST_F(VgaTest, crtc_registers_0_to_7_can_be_protected) {
  indexed(kCrtcIndexMono, kHorizontalDisplayEnd, 0x4f);
  indexed(kCrtcIndexMono, kVerticalRetraceEnd, 0x80);
  indexed(kCrtcIndexMono, kHorizontalDisplayEnd, 0x27);
  indexed(kCrtcIndexMono, kOverflow, 0xff);
  out(kCrtcIndexMono, kHorizontalDisplayEnd);
  EXPECT_EQ(in(kCrtcDataMono), 0x4fu);
  out(kCrtcIndexMono, kOverflow);
  EXPECT_EQ(in(kCrtcDataMono), 0x10u);
  EXPECT_EQ(in(kCrtcDataColour), 0xffu);  // a monochrome adapter
}

TEST_F(VgaTest, the_dac_reads_back_what_was_written) {
  out(kPelWriteIndex, 5);
  for (unsigned v : {1u, 2u, 3u}) out(kPelData, v);
  out(kPelReadIndex, 5);
  EXPECT_EQ(in(kPelReadIndex), 3u);
  EXPECT_EQ(in(kPelData), 1u);
  EXPECT_EQ(in(kPelData), 2u);
  EXPECT_EQ(in(kPelData), 3u);
}

TEST_F(VgaTest, dispi_32_bits_shows_the_memory) {
  text_mode();
  dispi(Dispi::kXres, 800);
  dispi(Dispi::kYres, 600);
  dispi(Dispi::kBpp, 32);
  dispi(Dispi::kEnable, 0x41);
  EXPECT_EQ(dispi(Dispi::kVirtWidth), 800u);
  EXPECT_EQ(dispi(Dispi::kVirtHeight), (16u << 20) / 3200);
  EXPECT_EQ(dispi(Dispi::kVideoMemory64K), 256u);
  auto* pixels = reinterpret_cast<uint32_t*>(vga->memory().host());
  pixels[800 * 7 + 3] = 0x123456;
  clock.advance(kFrame);
  EXPECT_EQ(screen.surface().width(), 800u);
  EXPECT_EQ(pixel(3, 7), 0x123456u);
  looker.areas.clear();
  pixels[800 * 9 + 5] = 0x654321;
  pixels[800 * 10 + 8] = 0x654321;
  clock.advance(kFrame);
  ASSERT_EQ(looker.areas.size(), 1u);
  EXPECT_EQ(looker.areas[0], (display::Rect{5, 9, 4, 2}));
  dispi(Dispi::kYOffset, 7);
  clock.advance(kFrame);
  EXPECT_EQ(pixel(3, 0), 0x123456u);
}

TEST_F(VgaTest, dispi_depths_are_converted) {
  text_mode();
  dispi(Dispi::kXres, 640);
  dispi(Dispi::kYres, 480);
  uint8_t* bytes = vga->memory().host();
  struct Case {
    unsigned bpp;
    std::array<uint8_t, 4> bytes;
    uint32_t colour;
  };
  for (const Case& c : {Case{8, {0x3f, 0, 0, 0}, 0xff0000}, Case{15, {0x1f, 0x7c, 0, 0}, 0xff00ff},
                        Case{16, {0xe0, 0x07, 0, 0}, 0x00ff00}, Case{24, {1, 2, 3, 0}, 0x030201},
                        Case{32, {1, 2, 3, 0}, 0x030201}}) {
    dispi(Dispi::kEnable, 0);
    dispi(Dispi::kBpp, c.bpp);
    dispi(Dispi::kEnable, 0x41);
    std::ranges::copy(c.bytes, bytes);
    clock.advance(kFrame);
    EXPECT_EQ(pixel(0, 0), c.colour) << c.bpp;
  }
}

TEST_F(VgaTest, dispi_banks_are_plain_memory_in_the_window) {
  text_mode();
  indexed(kSequencerIndex, kMapMask, 0x0f);
  indexed(kSequencerIndex, kMemoryMode, 0x0e);
  indexed(kGraphicsIndex, kMode, 0x40);
  indexed(kGraphicsIndex, kMiscellaneous, 5);
  dispi(Dispi::kXres, 1024);
  dispi(Dispi::kYres, 768);
  dispi(Dispi::kBpp, 8);
  dispi(Dispi::kEnable, 1);
  dispi(Dispi::kBank, 3);
  poke(0xa0010, 0x77);
  EXPECT_EQ(vga->memory().host()[0x30010], 0x77);
}

TEST_F(VgaTest, dispi_modes_are_cut_to_the_memory) {
  dispi(Dispi::kXres, 0xffff);
  dispi(Dispi::kYres, 0xffff);
  dispi(Dispi::kBpp, 32);
  dispi(Dispi::kEnable, 1);
  EXPECT_LE(uint64_t{dispi(Dispi::kVirtWidth)} * 4 * dispi(Dispi::kYres), vga->memory().size());
  dispi(Dispi::kXOffset, 0xffff);
  dispi(Dispi::kYOffset, 0xffff);
  clock.advance(kFrame);
  dispi(Dispi::kEnable, 3);
  EXPECT_EQ(dispi(Dispi::kXres), 16000u);
  EXPECT_EQ(dispi(Dispi::kBpp), 32u);
}

TEST_F(VgaTest, mmio_has_edid_and_registers) {
  memory::IoHandler& mmio = vga->mmio();
  unsigned sum = 0;
  for (unsigned i = 0; i < 128; ++i) sum += static_cast<unsigned>(mmio.io_read(i, 1));
  EXPECT_EQ(sum & 0xff, 0u);
  EXPECT_EQ(mmio.io_read(0, 4), 0xffffff00u);
  // The preferred timing: 1280x800.
  EXPECT_EQ(mmio.io_read(54 + 2, 1) | (mmio.io_read(54 + 4, 1) & 0xf0) << 4, 1280u);
  EXPECT_EQ(mmio.io_read(54 + 5, 1) | (mmio.io_read(54 + 7, 1) & 0xf0) << 4, 800u);
  EXPECT_EQ(mmio.io_read(0x500, 2), 0xb0c5u);
  mmio.io_write(0x500 + 2 * Dispi::kXres, 2, 640);
  EXPECT_EQ(dispi(Dispi::kXres), 640u);
  mmio.io_write(0x40e, 2, 0x0f08);  // graphics controller: bit mask
  out(kGraphicsIndex, kBitMask);
  EXPECT_EQ(in(kGraphicsData), 0x0fu);
  EXPECT_EQ(mmio.io_read(0x600, 4), 8u);
}

TEST_F(VgaTest, the_text_page_is_given_to_viewers_without_pixels) {
  text_mode();
  poke(0xb8000 + 2 * 81, 'A' | 0x2100, 2);
  display::TextPage page;
  ASSERT_TRUE(screen.text(page));
  EXPECT_EQ(page.columns, 80u);
  EXPECT_EQ(page.rows, 25u);
  EXPECT_EQ(page.cells[81].character, 'A');
  EXPECT_EQ(page.cells[81].attribute, 0x21);
}

TEST(RamfbTest, firmware_describes_the_picture_through_fw_cfg) {
  std::recursive_mutex lock;
  memory::AddressSpace memory{"memory", lock};
  auto ram = *memory::RamBlock::create("ram", 0x100000);
  ASSERT_TRUE(memory.map_ram(Gpa{0}, *ram, 0, ram->size()).has_value());
  async::FakeClock clock;
  display::Screen screen{clock, "ramfb"};
  FwCfg fw_cfg{{.memory = memory}};
  Ramfb ramfb({.memory = memory, .fw_cfg = fw_cfg, .screen = &screen});
  const std::vector<uint8_t> config = {0, 0, 0, 0, 0, 1,  0, 0, 0x34, 0x32, 0x52, 0x58, 0, 0,
                                       0, 0, 0, 0, 0, 64, 0, 0, 0,    32,   0,    0,    1, 0};
  std::memcpy(ram->host() + 0x100, config.data(), config.size());
  // A DMA write of item 0x20: control, length, address; big-endian.
  const std::vector<uint8_t> dma = {0, 0x20, 0, 0x18, 0, 0, 0, 28, 0, 0, 0, 0, 0, 0, 1, 0};
  std::memcpy(ram->host() + 0x200, dma.data(), dma.size());
  fw_cfg.io_write(8, 4, 0x00020000);  // the address 0x200, big-endian
  reinterpret_cast<uint32_t*>(ram->host() + 0x10000)[65] = 0xabcdef;
  screen.refresh();
  EXPECT_EQ(screen.surface().width(), 64u);
  EXPECT_EQ(screen.surface().row(1)[1] & 0xffffff, 0xabcdefu);
}

}  // namespace
}  // namespace rhea::devices
