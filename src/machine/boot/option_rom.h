// Our own boot option ROMs, as firmware sees them: padded to 512-byte units, with size and checksums filled
// in.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace rhea::machine::boot {

enum class OptionRom { LinuxBoot, FlatBoot };

// The assembled code, as built.
std::span<const uint8_t> option_rom_code(OptionRom which);
// An option ROM image that firmware accepts.
std::vector<uint8_t> option_rom_image(OptionRom which);

}  // namespace rhea::machine::boot
