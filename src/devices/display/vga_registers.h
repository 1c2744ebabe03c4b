// The registers of a VGA behind the ports 0x3b0..0x3df: miscellaneous output, sequencer, graphics controller,
// CRT controller, attribute controller and the DAC. What they do to memory is vga_memory, what they show
// vga_text and vga_graphics.
//
// IBM PS/2 Hardware Interface Technical Reference, "Video Subsystem"; Intel's open-source register reference,
// volume "VGA". Missing: the vertical retrace interrupt, light pen, 0x3c3 (the adapter is always enabled),
// horizontal and vertical timing beyond what a program can see in status register 1. Caller holds the machine
// lock.
#pragma once

#include <cstdint>

#include "async/clock.h"
#include "bus/device.h"
#include "devices/display/vga_regs.h"
#include "memory/io_handler.h"

namespace rhea::devices {

class VgaRegisters final : public memory::IoHandler {
 public:
  class Listener {
   public:
    virtual ~Listener() = default;
    virtual void picture_changed() = 0;
    // How the processor sees the memory may have changed.
    virtual void window_changed() = 0;
  };
  struct Wiring {
    async::Clock& clock;
    Listener& listener;
  };
  explicit VgaRegisters(const Wiring& wiring) : wiring_(wiring) {}

  void reset();
  void state(bus::StateVisitor& v);

  // Offsets are ports minus 0x3b0.
  uint64_t io_read(uint64_t offset, unsigned size) override;
  void io_write(uint64_t offset, unsigned size, uint64_t value) override;
  memory::IoTraits io_traits() const override { return {.min = 1, .max = 1}; }

  uint8_t sequencer(unsigned index) const { return sequencer_[index]; }
  uint8_t graphics(unsigned index) const { return graphics_[index]; }
  uint8_t crtc(unsigned index) const { return crtc_[index]; }
  uint8_t attribute(unsigned index) const { return attribute_[index]; }
  uint8_t misc() const { return misc_; }
  bool video_on() const {
    return (attribute_index_ & vga::kPaletteSource) != 0 &&
           (sequencer_[vga::kClocking] & vga::kClockingScreenOff) == 0;
  }
  bool graphics_mode() const { return (graphics_[vga::kMiscellaneous] & vga::kMiscGraphics) != 0; }

  // Ten-bit values that are spread over registers.
  unsigned displayed_lines() const;
  unsigned line_compare() const;
  unsigned start_address() const { return unsigned{crtc_[vga::kStartHigh]} << 8 | crtc_[vga::kStartLow]; }
  unsigned cursor_address() const { return unsigned{crtc_[vga::kCursorHigh]} << 8 | crtc_[vga::kCursorLow]; }

  // The DAC's colour as 0xRRGGBB, its entries being 6 or 8 bits wide.
  uint32_t colour(unsigned index, bool eight_bits) const;
  // Of the sixteen colours of text and 16-colour modes.
  uint32_t colour16(unsigned index, bool eight_bits) const;
  // Counts changes of any colour.
  uint32_t palette_generation() const { return palette_generation_; }
  uint8_t pel_mask() const { return pel_mask_; }

 private:
  uint8_t read_port(unsigned port);
  void write_port(unsigned port, uint8_t value);
  bool hidden(unsigned port) const;
  uint8_t status1();
  void write_sequencer(uint8_t value);
  void write_graphics(uint8_t value);
  void write_crtc(uint8_t value);
  void write_attribute(uint8_t value);
  uint8_t read_pel();
  void write_pel(uint8_t value);
  void palette_changed();

  Wiring wiring_;
  uint8_t misc_ = 0, feature_ = 0;
  uint8_t sequencer_index_ = 0, graphics_index_ = 0, crtc_index_ = 0, attribute_index_ = 0;
  bool attribute_data_next_ = false;
  uint8_t sequencer_[vga::kSequencerCount]{};
  uint8_t graphics_[vga::kGraphicsCount]{};
  uint8_t crtc_[vga::kCrtcCount]{};
  uint8_t attribute_[vga::kAttributeCount]{};
  uint8_t pel_mask_ = 0, pel_read_ = 0, pel_write_ = 0, pel_part_ = 0, pel_state_ = 0;
  uint8_t pel_pending_[3]{};
  uint8_t dac_[768]{};
  uint32_t palette_generation_ = 0;
};

}  // namespace rhea::devices
