#include "machine/plug/option_rom_ids.h"

#include <cstddef>
#include <cstring>

namespace rhea::machine {

namespace {

constexpr size_t kUnit = 512, kHeader = 0x1c, kChecksum = 6, kDataAt = 0x18;
constexpr size_t kVendor = 4, kDevice = 6, kLength = 0x10, kCodeType = 0x14, kLast = 0x15, kData = 0x18;
constexpr uint8_t kPcAt = 0, kLastImage = 0x80;

uint16_t word(const uint8_t* at) {
  return static_cast<uint16_t>(at[0] | at[1] << 8);
}

void put_word(std::span<uint8_t> image, size_t at, uint16_t value) {
  const uint8_t bytes[2] = {static_cast<uint8_t>(value), static_cast<uint8_t>(value >> 8)};
  for (size_t i = 0; i < 2; ++i) {
    image[kChecksum] = static_cast<uint8_t>(image[kChecksum] + image[at + i] - bytes[i]);
    image[at + i] = bytes[i];
  }
}

}  // namespace

void set_rom_ids(std::span<uint8_t> rom, uint16_t vendor, uint16_t device) {
  while (rom.size() >= kHeader && rom[0] == 0x55 && rom[1] == 0xaa) {
    const size_t data = word(&rom[kDataAt]);
    if (data < kDataAt || data + kData > rom.size() || std::memcmp(&rom[data], "PCIR", 4) != 0) return;
    if (rom[data + kCodeType] == kPcAt) {
      put_word(rom, data + kVendor, vendor);
      put_word(rom, data + kDevice, device);
    }
    const size_t length = word(&rom[data + kLength]) * kUnit;
    if ((rom[data + kLast] & kLastImage) != 0 || length == 0 || length > rom.size()) return;
    rom = rom.subspan(length);
  }
}

}  // namespace rhea::machine
