#include "devices/display/edid.h"

#include <algorithm>
#include <numeric>

namespace rhea::devices {

namespace {

constexpr unsigned kDotsPerInch = 100, kRefresh = 60;

uint8_t low(unsigned value) {
  return static_cast<uint8_t>(value);
}

// 3.4: three letters of five bits each.
void put_vendor(Edid& e, std::string_view letters) {
  unsigned packed = 0;
  for (const char c : letters) packed = packed << 5 | static_cast<unsigned>(c - 'A' + 1);
  e[8] = low(packed >> 8);
  e[9] = low(packed);
}

// 3.9: width / 8 - 31, aspect ratio and refresh rate - 60.
void put_standard(Edid& e, unsigned index, unsigned width, unsigned height) {
  unsigned aspect = 0;  // 16:10
  if (width * 3 == height * 4) aspect = 1;
  if (width * 4 == height * 5) aspect = 2;
  if (width * 9 == height * 16) aspect = 3;
  e[38 + 2 * index] = low(width / 8 - 31);
  e[39 + 2 * index] = low(aspect << 6);
}

// 3.10.2, with blanking as CVT's reduced one: 160 pixels, and lines for 460 microseconds.
void put_timing(Edid& e, unsigned at, unsigned width, unsigned height) {
  constexpr unsigned kBlank = 160, kFront = 48, kSync = 32, kVerticalFront = 3, kVerticalSync = 6;
  const unsigned line_ns = (1'000'000'000 / kRefresh - 460'000) / height;
  const unsigned blank_lines =
      std::max(460'000 / std::max(line_ns, 1u) + 1, kVerticalFront + kVerticalSync + 6);
  const uint64_t hz = uint64_t{width + kBlank} * (height + blank_lines) * kRefresh;
  const unsigned clock = static_cast<unsigned>(std::min<uint64_t>(hz / 10'000, 0xffff));
  const unsigned mm_wide = width * 254 / (10 * kDotsPerInch), mm_high = height * 254 / (10 * kDotsPerInch);
  e[at] = low(clock);
  e[at + 1] = low(clock >> 8);
  e[at + 2] = low(width);
  e[at + 3] = low(kBlank);
  e[at + 4] = low((width >> 8) << 4 | kBlank >> 8);
  e[at + 5] = low(height);
  e[at + 6] = low(blank_lines);
  e[at + 7] = low((height >> 8) << 4 | blank_lines >> 8);
  e[at + 8] = low(kFront);
  e[at + 9] = low(kSync);
  e[at + 10] = low(kVerticalFront << 4 | kVerticalSync);
  e[at + 11] = 0;
  e[at + 12] = low(mm_wide);
  e[at + 13] = low(mm_high);
  e[at + 14] = low((mm_wide >> 8) << 4 | mm_high >> 8);
  e[at + 17] = 0x1a;  // digital separate sync, horizontal positive
}

// 3.10.3: a display descriptor of up to 13 characters.
void put_text(Edid& e, unsigned at, uint8_t tag, std::string_view text) {
  e[at + 3] = tag;
  for (unsigned i = 0; i < 13; ++i)
    e[at + 5 + i] = i < text.size()    ? static_cast<uint8_t>(text[i])
                    : i == text.size() ? uint8_t{'\n'}
                                       : uint8_t{' '};
}

void put_range(Edid& e, unsigned at) {
  constexpr uint8_t kRange[] = {0,    0,    0,    0xfd, 0,   50,  125, 30,  160,
                                0xff, 0x01, '\n', ' ',  ' ', ' ', ' ', ' ', ' '};
  std::ranges::copy(kRange, e.begin() + at);
}

}  // namespace

Edid make_edid(unsigned width, unsigned height, std::string_view monitor_name) {
  width = std::clamp(width & ~7u, 64u, 4088u);
  height = std::clamp(height, 64u, 4095u);
  Edid e{};
  std::fill(e.begin() + 1, e.begin() + 7, uint8_t{0xff});
  put_vendor(e, "RHE");
  e[10] = 0x01;  // product
  e[16] = 1;     // week, year
  e[17] = 2026 - 1990;
  e[18] = 1;  // EDID 1.4
  e[19] = 4;
  e[20] = 0xa5;  // digital, 8 bits a colour, DisplayPort
  e[21] = low(std::min(width * 254 / (100 * kDotsPerInch), 255u));
  e[22] = low(std::min(height * 254 / (100 * kDotsPerInch), 255u));
  e[23] = 120;   // gamma 2.2
  e[24] = 0x06;  // sRGB, the first timing is native
  constexpr uint8_t kSrgb[] = {0xee, 0x91, 0xa3, 0x54, 0x4c, 0x99, 0x26, 0x0f, 0x50, 0x54};
  std::ranges::copy(kSrgb, e.begin() + 25);
  e[35] = 0x21;  // 640x480 and 800x600 at 60 Hz
  e[36] = 0x08;  // 1024x768 at 60 Hz
  constexpr unsigned kStandard[][2] = {{1920, 1080}, {1280, 1024}, {1600, 1200}, {1680, 1050},
                                       {1440, 900},  {1280, 960},  {1280, 800},  {1920, 1200}};
  for (unsigned i = 0; i < 8; ++i) put_standard(e, i, kStandard[i][0], kStandard[i][1]);
  put_timing(e, 54, width, height);
  put_range(e, 72);
  put_text(e, 90, 0xfc, monitor_name);
  put_text(e, 108, 0xff, "1");
  e[127] = low(256 - (std::accumulate(e.begin(), e.begin() + 127, 0u) & 0xff));
  return e;
}

}  // namespace rhea::devices
