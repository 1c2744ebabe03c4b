// Bochs' display interface: eleven 16-bit registers that set a mode of the linear frame buffer. Index and
// data ports, or flat in a PCI function's memory.
//
// QEMU docs/specs/standard-vga; the VBE extension of Bochs' vgabios ("VBE DISPI"), version 5. Widths and
// offsets are brought into what the memory holds when they are written, so what is read back is what is
// shown. Missing: the DDC register. Caller holds the machine lock.
#pragma once

#include <cstdint>
#include <optional>

#include "bus/device.h"

namespace rhea::devices {

class Dispi {
 public:
  static constexpr unsigned kRegisters = 11;
  enum Register : unsigned {
    kId,
    kXres,
    kYres,
    kBpp,
    kEnable,
    kBank,
    kVirtWidth,
    kVirtHeight,
    kXOffset,
    kYOffset,
    kVideoMemory64K
  };
  static constexpr uint16_t kEnabled = 0x01, kGetCaps = 0x02, k8BitDac = 0x20, kLinear = 0x40,
                            kNoClear = 0x80;

  struct Limits {
    uint64_t memory;  // bytes, a power of two
    unsigned max_width = 16000, max_height = 12000;
    bool planar = false;  // 4 bits a pixel, which need a VGA
  };
  explicit Dispi(const Limits& limits) : limits_(limits) { reset(); }

  struct Mode {
    unsigned width, height, bpp;
    uint64_t stride, start;  // bytes; planar: bytes of all four planes together
    bool operator==(const Mode&) const = default;
  };
  // What is shown: lies inside the memory whatever a guest has written. None: disabled, or impossible.
  std::optional<Mode> mode() const;

  enum class Effect { None, Changed, SwitchedOn };  // SwitchedOn: the memory of mode() is to be cleared
  Effect write(unsigned index, uint16_t value);
  uint16_t read(unsigned index) const;

  bool enabled() const { return (regs_[kEnable] & kEnabled) != 0; }
  bool dac_8_bits() const { return (regs_[kEnable] & k8BitDac) != 0; }
  // The 64 KiB bank that the legacy window shows, in bytes.
  uint64_t bank_offset() const { return (uint64_t{regs_[kBank]} << 16) & (limits_.memory - 1); }
  unsigned bpp() const { return regs_[kBpp]; }

  void reset();
  void state(bus::StateVisitor& v);

 private:
  uint64_t stride() const;
  void fit();
  bool known_depth(unsigned bpp) const;

  Limits limits_;
  uint16_t regs_[kRegisters]{};
};

}  // namespace rhea::devices
