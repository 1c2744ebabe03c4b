// Pictures of a surface: binary PPM (netpbm's ppm(5), P6) and PNG (W3C Portable Network Graphics, second
// edition: 8-bit true colour, filters chosen a row).
//
// Encoding touches nothing but its arguments: take a copy of the surface under the machine lock, encode and
// write it anywhere.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "display/surface.h"

namespace rhea::display {

enum class ImageFormat { Ppm, Png };

// "ppm" or "png".
std::optional<ImageFormat> image_format(std::string_view name);

std::vector<uint8_t> encode(const Surface& surface, ImageFormat format);

// Creates or replaces the file. Errors: the host's.
Result<> write_image(const Surface& surface, ImageFormat format, const std::string& path);

}  // namespace rhea::display
