#include "devices/display/vga_registers.h"

#include <algorithm>

namespace rhea::devices {

using namespace vga;

namespace {

// Which bits each register has.
constexpr uint8_t kSequencerBits[kSequencerCount] = {0x03, 0x3d, 0x0f, 0x3f, 0x0e, 0x00, 0x00, 0xff};
constexpr uint8_t kGraphicsBits[kGraphicsCount] = {0x0f, 0x0f, 0x0f, 0x1f, 0x03, 0x7b, 0x0f, 0x0f, 0xff};
constexpr uint8_t kModeBits = 0xef, kColourBits = 0x3f, kPaletteBits = 0x3f;

// A frame of 449 lines of 31.778 us, or of 525 where the sync polarities say 480 lines.
constexpr int64_t kLineNs = 31'778, kLineVisibleNs = 25'422;
constexpr int64_t kLines400 = 449, kLines480 = 525, kRetraceLines = 30;
constexpr uint8_t kPolarity480 = 0xc0;
// Input status 0: the sense of a colour monitor.
constexpr uint8_t kStatus0 = 0x10;
constexpr unsigned kLastDacState = 3;

}  // namespace

void VgaRegisters::reset() {
  misc_ = feature_ = 0;
  sequencer_index_ = graphics_index_ = crtc_index_ = attribute_index_ = 0;
  attribute_data_next_ = false;
  std::ranges::fill(sequencer_, uint8_t{0});
  std::ranges::fill(graphics_, uint8_t{0});
  std::ranges::fill(crtc_, uint8_t{0});
  std::ranges::fill(attribute_, uint8_t{0});
  pel_mask_ = pel_read_ = pel_write_ = pel_part_ = pel_state_ = 0;
  std::ranges::fill(pel_pending_, uint8_t{0});
  std::ranges::fill(dac_, uint8_t{0});
  palette_changed();
  wiring_.listener.window_changed();
}

void VgaRegisters::state(bus::StateVisitor& v) {
  v.field("misc", misc_);
  v.field("feature", feature_);
  v.field("sequencer_index", sequencer_index_);
  v.field("graphics_index", graphics_index_);
  v.field("crtc_index", crtc_index_);
  v.field("attribute_index", attribute_index_);
  v.field("attribute_data_next", attribute_data_next_);
  v.bytes("sequencer", sequencer_);
  v.bytes("graphics", graphics_);
  v.bytes("crtc", crtc_);
  v.bytes("attribute", attribute_);
  v.field("pel_mask", pel_mask_);
  v.field("pel_read", pel_read_);
  v.field("pel_write", pel_write_);
  v.field("pel_part", pel_part_);
  v.field("pel_state", pel_state_);
  v.bytes("pel_pending", pel_pending_);
  v.bytes("dac", dac_);
  if (!v.loading()) return;
  sequencer_index_ %= kSequencerCount;
  graphics_index_ %= kGraphicsCount;
  attribute_index_ &= 0x3f;
  pel_part_ %= 3;
  for (unsigned i = 0; i < kSequencerCount; ++i) sequencer_[i] &= kSequencerBits[i];
  for (unsigned i = 0; i < kGraphicsCount; ++i) graphics_[i] &= kGraphicsBits[i];
  palette_changed();
  wiring_.listener.window_changed();
}

uint64_t VgaRegisters::io_read(uint64_t offset, unsigned) {
  return read_port(static_cast<unsigned>(offset) + kPortBase);
}

void VgaRegisters::io_write(uint64_t offset, unsigned, uint64_t value) {
  write_port(static_cast<unsigned>(offset) + kPortBase, static_cast<uint8_t>(value));
}

// The CRT controller answers at the ports of a colour or of a monochrome adapter.
bool VgaRegisters::hidden(unsigned port) const {
  const bool colour = (misc_ & kMiscColour) != 0;
  return (port < kAttributeIndex && colour) || (port >= 0x3d0 && !colour);
}

uint8_t VgaRegisters::read_port(unsigned port) {
  if (hidden(port)) return 0xff;
  switch (port) {
    case kCrtcIndexMono:
    case kCrtcIndexColour: return crtc_index_;
    case kCrtcDataMono:
    case kCrtcDataColour: return crtc_index_ < kCrtcCount ? crtc_[crtc_index_] : uint8_t{0};
    case kStatus1Mono:
    case kStatus1Colour: return status1();
    case kAttributeIndex: return attribute_data_next_ ? uint8_t{0} : attribute_index_;
    case kAttributeData: {
      const unsigned index = attribute_index_ & 0x1f;
      return index < kAttributeCount ? attribute_[index] : uint8_t{0};
    }
    case kMiscWrite: return kStatus0;
    case kSequencerIndex: return sequencer_index_;
    case kSequencerData: return sequencer_[sequencer_index_];
    case kPelMask: return pel_mask_;
    case kPelReadIndex: return pel_state_;
    case kPelWriteIndex: return pel_write_;
    case kPelData: return read_pel();
    case kFeatureRead: return feature_;
    case kMiscRead: return misc_;
    case kGraphicsIndex: return graphics_index_;
    case kGraphicsData: return graphics_[graphics_index_];
    default: return 0xff;
  }
}

void VgaRegisters::write_port(unsigned port, uint8_t value) {
  if (hidden(port)) return;
  switch (port) {
    case kCrtcIndexMono:
    case kCrtcIndexColour: crtc_index_ = value; break;
    case kCrtcDataMono:
    case kCrtcDataColour: write_crtc(value); break;
    case kStatus1Mono:
    case kStatus1Colour: feature_ = value & 0x10; break;
    case kAttributeIndex: write_attribute(value); break;
    case kMiscWrite:
      misc_ = value & 0xef;
      wiring_.listener.window_changed();
      wiring_.listener.picture_changed();
      break;
    case kSequencerIndex: sequencer_index_ = value % kSequencerCount; break;
    case kSequencerData: write_sequencer(value); break;
    case kPelMask:
      pel_mask_ = value;
      palette_changed();
      break;
    case kPelReadIndex:
      pel_read_ = value;
      pel_part_ = 0;
      pel_state_ = kLastDacState;
      break;
    case kPelWriteIndex:
      pel_write_ = value;
      pel_part_ = 0;
      pel_state_ = 0;
      break;
    case kPelData: write_pel(value); break;
    case kGraphicsIndex: graphics_index_ = value % kGraphicsCount; break;
    case kGraphicsData: write_graphics(value); break;
    default: break;
  }
}

// Reading it also makes the attribute controller expect an index.
uint8_t VgaRegisters::status1() {
  attribute_data_next_ = false;
  const int64_t lines = (misc_ & kPolarity480) == kPolarity480 ? kLines480 : kLines400;
  const int64_t in_frame = wiring_.clock.now_ns() % (kLineNs * lines);
  if (in_frame >= kLineNs * (lines - kRetraceLines)) return kStatusNotDisplaying | kStatusVerticalRetrace;
  return in_frame % kLineNs >= kLineVisibleNs ? kStatusNotDisplaying : uint8_t{0};
}

void VgaRegisters::write_sequencer(uint8_t value) {
  uint8_t& reg = sequencer_[sequencer_index_];
  value &= kSequencerBits[sequencer_index_];
  if (reg == value) return;
  reg = value;
  if (sequencer_index_ == kMapMask || sequencer_index_ == kMemoryMode) wiring_.listener.window_changed();
  if (sequencer_index_ != kMapMask) wiring_.listener.picture_changed();
}

void VgaRegisters::write_graphics(uint8_t value) {
  uint8_t& reg = graphics_[graphics_index_];
  value &= kGraphicsBits[graphics_index_];
  if (reg == value) return;
  reg = value;
  wiring_.listener.window_changed();
  if (graphics_index_ == kMode || graphics_index_ == kMiscellaneous) wiring_.listener.picture_changed();
}

void VgaRegisters::write_crtc(uint8_t value) {
  if (crtc_index_ >= kCrtcCount) return;
  uint8_t& reg = crtc_[crtc_index_];
  if ((crtc_[kVerticalRetraceEnd] & kProtect0To7) != 0 && crtc_index_ <= kOverflow) {
    // Only bit 8 of the line compare register stays writable.
    if (crtc_index_ != kOverflow) return;
    value = static_cast<uint8_t>((reg & ~0x10) | (value & 0x10));
  }
  if (reg == value) return;
  reg = value;
  wiring_.listener.picture_changed();
}

void VgaRegisters::write_attribute(uint8_t value) {
  attribute_data_next_ = !attribute_data_next_;
  if (attribute_data_next_) {
    if (attribute_index_ == (value & 0x3f)) return;
    const bool was_on = video_on();
    attribute_index_ = value & 0x3f;
    if (video_on() != was_on) wiring_.listener.picture_changed();
    return;
  }
  const unsigned index = attribute_index_ & 0x1f;
  if (index >= kAttributeCount) return;
  if (index < kAttributeMode) {
    value &= kPaletteBits;
  } else if (index == kAttributeMode) {
    value &= kModeBits;
  } else if (index == kPlaneEnable) {
    value &= kColourBits;
  } else if (index != kOverscan) {
    value &= 0x0f;
  }
  if (attribute_[index] == value) return;
  attribute_[index] = value;
  palette_changed();
}

uint8_t VgaRegisters::read_pel() {
  const uint8_t value = dac_[unsigned{pel_read_} * 3 + pel_part_];
  if (++pel_part_ == 3) {
    pel_part_ = 0;
    ++pel_read_;
  }
  return value;
}

void VgaRegisters::write_pel(uint8_t value) {
  pel_pending_[pel_part_] = value;
  if (++pel_part_ != 3) return;
  pel_part_ = 0;
  std::ranges::copy(pel_pending_, dac_ + unsigned{pel_write_} * 3);
  ++pel_write_;
  palette_changed();
}

void VgaRegisters::palette_changed() {
  ++palette_generation_;
  wiring_.listener.picture_changed();
}

unsigned VgaRegisters::displayed_lines() const {
  const unsigned overflow = crtc_[kOverflow];
  return (crtc_[kVerticalDisplayEnd] | (overflow & 0x02) << 7 | (overflow & 0x40) << 3) + 1;
}

unsigned VgaRegisters::line_compare() const {
  return crtc_[kLineCompare] | (crtc_[kOverflow] & 0x10u) << 4 | (crtc_[kMaximumScanLine] & 0x40u) << 3;
}

uint32_t VgaRegisters::colour(unsigned index, bool eight_bits) const {
  const uint8_t* entry = dac_ + (index & pel_mask_) * 3;
  uint32_t pixel = 0;
  for (unsigned i = 0; i < 3; ++i) {
    const unsigned six = entry[i] & 0x3fu;
    pixel = pixel << 8 | (eight_bits ? entry[i] : six << 2 | six >> 4);
  }
  return pixel;
}

uint32_t VgaRegisters::colour16(unsigned index, bool eight_bits) const {
  const unsigned select = attribute_[kColourSelect];
  const unsigned inner = attribute_[index & 0x0f];
  const bool upper = (attribute_[kAttributeMode] & kAttributeSelect) != 0;
  return colour(upper ? (select & 0x0f) << 4 | (inner & 0x0f) : (select & 0x0c) << 4 | (inner & 0x3f),
                eight_bits);
}

}  // namespace rhea::devices
