// Registers of the VGA: IBM PS/2 Hardware Interface Technical Reference, "Video Subsystem"; names and bits as
// there. Bochs' display interface ("DISPI"): the VBE extension of vgabios 0.7, QEMU docs/specs/standard-vga.
#pragma once

#include <cstdint>

namespace rhea::devices::vga {

// Ports, as offsets from 0x3b0: the range 0x3b0..0x3df.
inline constexpr unsigned kPortBase = 0x3b0, kPortCount = 0x30;
enum Port : unsigned {
  kCrtcIndexMono = 0x3b4,
  kCrtcDataMono = 0x3b5,
  kStatus1Mono = 0x3ba,  // writing: feature control
  kAttributeIndex = 0x3c0,
  kAttributeData = 0x3c1,
  kMiscWrite = 0x3c2,  // reading: input status 0
  kSequencerIndex = 0x3c4,
  kSequencerData = 0x3c5,
  kPelMask = 0x3c6,
  kPelReadIndex = 0x3c7,  // reading: DAC state
  kPelWriteIndex = 0x3c8,
  kPelData = 0x3c9,
  kFeatureRead = 0x3ca,
  kMiscRead = 0x3cc,
  kGraphicsIndex = 0x3ce,
  kGraphicsData = 0x3cf,
  kCrtcIndexColour = 0x3d4,
  kCrtcDataColour = 0x3d5,
  kStatus1Colour = 0x3da,
};

enum Sequencer : unsigned { kReset, kClocking, kMapMask, kCharacterMap, kMemoryMode, kSequencerCount = 8 };
inline constexpr uint8_t kClocking8Dots = 0x01, kClockingHalf = 0x08, kClockingScreenOff = 0x20;
inline constexpr uint8_t kMemoryOddEvenOff = 0x04, kMemoryChain4 = 0x08;

enum Graphics : unsigned {
  kSetReset,
  kEnableSetReset,
  kColourCompare,
  kDataRotate,
  kReadMap,
  kMode,
  kMiscellaneous,
  kColourDontCare,
  kBitMask,
  kGraphicsCount = 16
};
inline constexpr uint8_t kModeRead1 = 0x08, kModeHostOddEven = 0x10, kModeInterleave = 0x20, kMode256 = 0x40;
inline constexpr uint8_t kMiscGraphics = 0x01;

enum Crtc : unsigned {
  kHorizontalDisplayEnd = 0x01,
  kOverflow = 0x07,
  kPresetRowScan = 0x08,
  kMaximumScanLine = 0x09,
  kCursorStart = 0x0a,
  kCursorEnd = 0x0b,
  kStartHigh = 0x0c,
  kStartLow = 0x0d,
  kCursorHigh = 0x0e,
  kCursorLow = 0x0f,
  kVerticalRetraceEnd = 0x11,
  kVerticalDisplayEnd = 0x12,
  kOffset = 0x13,
  kUnderline = 0x14,
  kCrtcMode = 0x17,
  kLineCompare = 0x18,
  kCrtcCount = 0x19
};
inline constexpr uint8_t kProtect0To7 = 0x80;  // kVerticalRetraceEnd
inline constexpr uint8_t kScanDouble = 0x80;   // kMaximumScanLine
inline constexpr uint8_t kCursorOff = 0x20;    // kCursorStart
inline constexpr uint8_t kCrtcNoRow0 = 0x01, kCrtcNoRow1 = 0x02, kCrtcByte = 0x40;

enum Attribute : unsigned {
  kAttributeMode = 0x10,
  kOverscan = 0x11,
  kPlaneEnable = 0x12,
  kPelPanning = 0x13,
  kColourSelect = 0x14,
  kAttributeCount = 0x15
};
inline constexpr uint8_t kAttributeGraphics = 0x01, kAttributeMono = 0x02, kAttributeLineGraphics = 0x04,
                         kAttributeBlink = 0x08, kAttributePanSplit = 0x20, kAttribute8Bit = 0x40,
                         kAttributeSelect = 0x80;
inline constexpr uint8_t kPaletteSource = 0x20;  // of the index register: video is on

inline constexpr uint8_t kMiscColour = 0x01, kMiscRam = 0x02;

inline constexpr uint8_t kStatusNotDisplaying = 0x01, kStatusVerticalRetrace = 0x08;

}  // namespace rhea::devices::vga
