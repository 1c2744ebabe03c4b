#include "devices/display/vga_memory.h"

namespace rhea::devices {

using namespace vga;

namespace {

constexpr uint64_t kBankSize = 0x10000;
constexpr uint32_t kFontPlane = 4;

// One byte for each of the four planes.
uint32_t all_planes(uint8_t value) {
  return value * 0x01010101u;
}
// Bit p of the mask makes byte p all ones.
uint32_t spread(unsigned mask) {
  return ((mask & 1) != 0 ? 0xffu : 0) | ((mask & 2) != 0 ? 0xff00u : 0) | ((mask & 4) != 0 ? 0xff0000u : 0) |
         ((mask & 8) != 0 ? 0xff000000u : 0);
}

uint8_t rotated(uint8_t value, unsigned count) {
  return static_cast<uint8_t>(value >> count | value << (8 - count));
}

}  // namespace

// Where the window's byte is in the adapter's address space, if that part of the window is decoded.
std::optional<uint64_t> VgaMemory::decode(uint64_t offset) const {
  const VgaRegisters& r = wiring_.registers;
  if ((r.misc() & kMiscRam) == 0) return std::nullopt;
  const uint64_t bank = wiring_.dispi.enabled() ? wiring_.dispi.bank_offset() : 0;
  switch (r.graphics(kMiscellaneous) >> 2 & 3) {
    case 0: return offset + bank;
    case 1: return offset < kBankSize ? std::optional(offset + bank) : std::nullopt;
    case 2: return offset >= 0x10000 && offset < 0x18000 ? std::optional(offset - 0x10000) : std::nullopt;
    default: return offset >= 0x18000 ? std::optional(offset - 0x18000) : std::nullopt;
  }
}

// SAFETY: the index is masked to the block, whose size is a power of two.
uint32_t& VgaMemory::word(uint64_t index) const {
  const uint64_t masked = index & (wiring_.memory.size() / 4 - 1);
  return reinterpret_cast<uint32_t*>(wiring_.memory.host())[masked];
}

std::optional<VgaMemory::Direct> VgaMemory::direct() const {
  const VgaRegisters& r = wiring_.registers;
  const bool in_window = (r.misc() & kMiscRam) != 0 && (r.graphics(kMiscellaneous) >> 2 & 3) <= 1;
  const bool linear = (r.sequencer(kMemoryMode) & kMemoryChain4) != 0 && r.sequencer(kMapMask) == 0x0f;
  const bool plain = (r.graphics(kMode) & (kModeRead1 | 3)) == 0 && r.graphics(kDataRotate) == 0 &&
                     r.graphics(kEnableSetReset) == 0 && r.graphics(kBitMask) == 0xff;
  if (!in_window || !linear || !plain) return std::nullopt;
  const uint64_t size = (r.graphics(kMiscellaneous) >> 2 & 3) == 0 ? kWindowSize : kBankSize;
  const uint64_t bank = wiring_.dispi.enabled() ? wiring_.dispi.bank_offset() : 0;
  if (bank + size > wiring_.memory.size()) return std::nullopt;
  return Direct{bank, size};
}

uint64_t VgaMemory::io_read(uint64_t offset, unsigned size) {
  uint64_t value = 0;
  for (unsigned i = 0; i < size; ++i) {
    const std::optional<uint64_t> address = decode(offset + i);
    value |= uint64_t{address ? read_byte(*address) : uint8_t{0xff}} << (8 * i);
  }
  return value;
}

void VgaMemory::io_write(uint64_t offset, unsigned size, uint64_t value) {
  bool any = false;
  for (unsigned i = 0; i < size; ++i) {
    const std::optional<uint64_t> address = decode(offset + i);
    if (!address) continue;
    any = true;
    write_byte(*address, static_cast<uint8_t>(value >> (8 * i)));
  }
  if (any) wiring_.listener.picture_changed();
}

uint8_t VgaMemory::read_byte(uint64_t address) {
  const VgaRegisters& r = wiring_.registers;
  unsigned plane = r.graphics(kReadMap);
  uint64_t index = address;
  if ((r.sequencer(kMemoryMode) & kMemoryChain4) != 0) {
    plane = address & 3;
    index = address >> 2;
  } else if ((r.graphics(kMode) & kModeHostOddEven) != 0) {
    plane = (plane & 2) | (address & 1);
    index = address >> 1;
  }
  latch_ = word(index);
  if ((r.graphics(kMode) & kModeRead1) == 0) return static_cast<uint8_t>(latch_ >> (8 * plane));
  // Read mode 1: ones where all planes that count have the colour.
  const uint32_t differs =
      (latch_ ^ spread(r.graphics(kColourCompare))) & spread(r.graphics(kColourDontCare));
  return static_cast<uint8_t>(~(differs | differs >> 8 | differs >> 16 | differs >> 24));
}

// What goes to the four planes under the current write mode.
uint32_t VgaMemory::combine(uint8_t value) const {
  const VgaRegisters& r = wiring_.registers;
  const unsigned mode = r.graphics(kMode) & 3, rotate = r.graphics(kDataRotate) & 7;
  if (mode == 1) return latch_;
  uint32_t data = 0, mask = all_planes(r.graphics(kBitMask));
  if (mode == 0) {
    const uint32_t set = spread(r.graphics(kEnableSetReset));
    data = (all_planes(rotated(value, rotate)) & ~set) | (spread(r.graphics(kSetReset)) & set);
  } else if (mode == 2) {
    data = spread(value & 0x0f);
  } else {
    data = spread(r.graphics(kSetReset));
    mask &= all_planes(rotated(value, rotate));
  }
  switch (r.graphics(kDataRotate) >> 3 & 3) {
    case 1: data &= latch_; break;
    case 2: data |= latch_; break;
    case 3: data ^= latch_; break;
    default: break;
  }
  return (data & mask) | (latch_ & ~mask);
}

void VgaMemory::write_byte(uint64_t address, uint8_t value) {
  const VgaRegisters& r = wiring_.registers;
  uint32_t planes = r.sequencer(kMapMask);
  uint64_t index = address;
  if ((r.sequencer(kMemoryMode) & kMemoryChain4) != 0) {
    planes &= 1u << (address & 3);
    index = address >> 2;
  } else if ((r.sequencer(kMemoryMode) & kMemoryOddEvenOff) == 0) {
    planes &= (address & 1) != 0 ? 0x0a : 0x05;
    index = address >> 1;
  }
  if (planes == 0) return;
  if ((planes & kFontPlane) != 0) ++font_generation_;
  const uint32_t written = spread(planes);
  uint32_t& cell = word(index);
  cell = (combine(value) & written) | (cell & ~written);
  wiring_.memory.note_written((index * 4) & (wiring_.memory.size() - 1), 4);
}

}  // namespace rhea::devices
