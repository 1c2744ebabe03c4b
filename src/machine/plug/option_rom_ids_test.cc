#include "machine/plug/option_rom_ids.h"

#include <gtest/gtest.h>

#include <numeric>
#include <vector>

namespace rhea::machine {
namespace {

// An image of 512 bytes whose sum is zero.
std::vector<uint8_t> image(uint8_t code_type, bool last) {
  std::vector<uint8_t> rom(512);
  rom[0] = 0x55, rom[1] = 0xaa, rom[2] = 1, rom[0x18] = 0x40;
  const uint8_t data[] = {'P', 'C', 'I', 'R', 0xf4, 0x1a, 0x41, 0x10, 0, 0, 0x1c, 0, 3, 0, 0, 2, 1, 0, 0, 0};
  std::copy(std::begin(data), std::end(data), rom.begin() + 0x40);
  rom[0x54] = code_type, rom[0x55] = last ? 0x80 : 0;
  rom[511] = static_cast<uint8_t>(-std::accumulate(rom.begin(), rom.end(), 0));
  return rom;
}

uint8_t sum(const uint8_t* from) {
  return static_cast<uint8_t>(std::accumulate(from, from + 512, 0));
}

TEST(OptionRomIds, legacy_images_are_for_the_device_and_sum_up) {
  std::vector<uint8_t> rom = image(0, false);
  const std::vector<uint8_t> efi = image(3, true);
  rom.insert(rom.end(), efi.begin(), efi.end());
  ASSERT_EQ(sum(rom.data()), 0);
  set_rom_ids(rom, 0x1af4, 0x1000);
  EXPECT_EQ(rom[0x46] | rom[0x47] << 8, 0x1000);
  EXPECT_EQ(sum(rom.data()), 0);
  EXPECT_TRUE(std::equal(efi.begin(), efi.end(), rom.begin() + 512));
}

TEST(OptionRomIds, nonsense_is_left_alone) {
  for (size_t size : {0u, 2u, 27u, 100u}) {
    std::vector<uint8_t> rom = image(0, false);
    rom.resize(size);
    if (size == 100) rom[0x18] = 0xf0, rom[0x19] = 0xff;
    const std::vector<uint8_t> before = rom;
    set_rom_ids(rom, 1, 2);
    EXPECT_EQ(rom, before) << size;
  }
}

}  // namespace
}  // namespace rhea::machine
