// Shapes of floppy disks, by the size of their images.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

namespace rhea::devices {

// As the CMOS of a PC calls drives.
enum class FloppyType : uint8_t { None = 0, D360 = 1, D1200 = 2, D720 = 3, D1440 = 4, D2880 = 5 };
// Codes of the data rate select register.
enum class FloppyRate : uint8_t { K500 = 0, K300 = 1, K250 = 2, M1 = 3 };

struct FloppyFormat {
  FloppyType drive;  // that it is made for
  uint8_t sectors;   // a track
  uint8_t tracks;
  uint8_t heads;
  FloppyRate rate;

  uint64_t bytes() const { return uint64_t{512} * sectors * tracks * heads; }
};

inline constexpr FloppyFormat kFloppyFormats[] = {
    // 3.5 inches; the usual one of each size first.
    {FloppyType::D1440, 18, 80, 2, FloppyRate::K500},
    {FloppyType::D1440, 20, 80, 2, FloppyRate::K500},
    {FloppyType::D1440, 21, 80, 2, FloppyRate::K500},
    {FloppyType::D1440, 21, 82, 2, FloppyRate::K500},
    {FloppyType::D1440, 21, 83, 2, FloppyRate::K500},
    {FloppyType::D1440, 22, 80, 2, FloppyRate::K500},
    {FloppyType::D1440, 23, 80, 2, FloppyRate::K500},
    {FloppyType::D1440, 24, 80, 2, FloppyRate::K500},
    {FloppyType::D2880, 36, 80, 2, FloppyRate::M1},
    {FloppyType::D2880, 39, 80, 2, FloppyRate::M1},
    {FloppyType::D2880, 40, 80, 2, FloppyRate::M1},
    {FloppyType::D2880, 44, 80, 2, FloppyRate::M1},
    {FloppyType::D2880, 48, 80, 2, FloppyRate::M1},
    {FloppyType::D1440, 9, 80, 2, FloppyRate::K250},
    {FloppyType::D1440, 10, 80, 2, FloppyRate::K250},
    {FloppyType::D1440, 10, 82, 2, FloppyRate::K250},
    {FloppyType::D1440, 10, 83, 2, FloppyRate::K250},
    {FloppyType::D1440, 13, 80, 2, FloppyRate::K250},
    {FloppyType::D1440, 14, 80, 2, FloppyRate::K250},
    // 5.25 inches.
    {FloppyType::D1200, 15, 80, 2, FloppyRate::K500},
    {FloppyType::D1200, 18, 80, 2, FloppyRate::K500},
    {FloppyType::D1200, 9, 40, 2, FloppyRate::K300},
    {FloppyType::D1200, 9, 40, 1, FloppyRate::K300},
    {FloppyType::D1200, 10, 41, 2, FloppyRate::K300},
    {FloppyType::D1200, 8, 40, 2, FloppyRate::K250},
    {FloppyType::D1200, 8, 40, 1, FloppyRate::K250},
};

// The format of an image of that size that a drive of that type takes; None: any drive. Images of odd sizes
// are taken for the drive's usual format.
inline std::optional<FloppyFormat> floppy_format(uint64_t bytes, FloppyType drive) {
  std::optional<FloppyFormat> usual;
  for (const FloppyFormat& format : kFloppyFormats) {
    const bool fits = drive == FloppyType::None || drive == format.drive ||
                      (drive == FloppyType::D2880 && format.drive == FloppyType::D1440);
    if (!fits) continue;
    if (format.bytes() == bytes) return format;
    if (!usual) usual = format;
  }
  return usual;
}

}  // namespace rhea::devices
