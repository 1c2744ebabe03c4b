// The identification data that a monitor would give: one block, with the preferred mode as its first detailed
// timing.
//
// VESA Enhanced EDID Standard, release A, revision 2 (EDID 1.4): chapter 3; VESA Coordinated Video
// Timings 1.2, reduced blanking.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace rhea::devices {

using Edid = std::array<uint8_t, 128>;

// width and height are cut to what a detailed timing can say (4088 x 4095).
Edid make_edid(unsigned width, unsigned height, std::string_view monitor_name);

}  // namespace rhea::devices
