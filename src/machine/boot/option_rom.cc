// See option_rom.h. PCI Firmware 3.0 5.2.1 (header, checksum), PnP BIOS 1.0a 3.2 (expansion header).
#include "machine/boot/option_rom.h"

#include "base/check.h"

extern "C" {
// optionrom/blobs.S
extern const uint8_t rhea_rom_linuxboot[], rhea_rom_linuxboot_end[];
extern const uint8_t rhea_rom_flatboot[], rhea_rom_flatboot_end[];
}

namespace rhea::machine::boot {
namespace {

constexpr size_t kUnit = 512, kPnpPointer = 0x1a, kPnpSize = 32, kPnpChecksum = 9;

uint8_t missing_to_zero(std::span<const uint8_t> bytes) {
  unsigned sum = 0;
  for (uint8_t b : bytes) sum += b;
  return static_cast<uint8_t>(0u - sum);
}

}  // namespace

std::span<const uint8_t> option_rom_code(OptionRom which) {
  if (which == OptionRom::LinuxBoot) return {rhea_rom_linuxboot, rhea_rom_linuxboot_end};
  return {rhea_rom_flatboot, rhea_rom_flatboot_end};
}

std::vector<uint8_t> option_rom_image(OptionRom which) {
  std::span<const uint8_t> code = option_rom_code(which);
  std::vector<uint8_t> rom(code.begin(), code.end());
  rom.resize((rom.size() + 1 + kUnit - 1) / kUnit * kUnit);  // at least one byte for the checksum
  rom[2] = static_cast<uint8_t>(rom.size() / kUnit);
  size_t pnp = static_cast<size_t>(rom[kPnpPointer] | rom[kPnpPointer + 1] << 8);
  CHECK(pnp + kPnpSize <= rom.size());
  rom[pnp + kPnpChecksum] = missing_to_zero(std::span(rom).subspan(pnp, kPnpSize));
  rom.back() = missing_to_zero(rom);
  return rom;
}

}  // namespace rhea::machine::boot
