#include <gtest/gtest.h>
#include <zlib.h>

#include <cstdio>

#include "async/fake_clock.h"
#include "display/image_file.h"
#include "display/screens.h"

namespace rhea::display {
namespace {

struct Source final : ScreenSource {
  std::optional<int64_t> refresh() override {
    ++count;
    return wait;
  }
  int count = 0;
  std::optional<int64_t> wait = 0;
};

struct Watcher final : Viewer {
  void surface_changed(const Surface& surface) override {
    ++surfaces;
    width = surface.width();
  }
  void changed(const Rect& area) override { last = area; }
  int surfaces = 0;
  unsigned width = 0;
  Rect last;
};

constexpr int64_t kSecond = 1'000'000'000;

TEST(Screen, refreshes_at_30_hz_only_while_somebody_looks) {
  async::FakeClock clock;
  Source source;  // outlives the screen
  Screen screen(clock, "x");
  screen.set_source(&source);
  clock.advance(kSecond);
  EXPECT_EQ(source.count, 0);
  Watcher watcher;
  screen.add(watcher);
  EXPECT_EQ(watcher.surfaces, 1);
  clock.advance(kSecond);
  EXPECT_NEAR(source.count, 30, 1);
  screen.remove(watcher);
  const int before = source.count;
  clock.advance(kSecond);
  EXPECT_EQ(source.count, before);
}

TEST(Screen, an_idle_source_is_asked_again_after_wake) {
  async::FakeClock clock;
  Source source;  // outlives the screen
  Screen screen(clock, "x");
  source.wait = std::nullopt;
  screen.set_source(&source);
  Watcher watcher;
  screen.add(watcher);
  clock.advance(kSecond);
  EXPECT_EQ(source.count, 1);
  screen.wake();
  screen.wake();
  clock.advance(kSecond);
  EXPECT_EQ(source.count, 2);
}

TEST(Screen, resize_tells_viewers_once_and_changes_are_clipped) {
  async::FakeClock clock;
  Screen screen(clock, "x");
  Watcher watcher;
  screen.add(watcher);
  screen.resize(800, 600);
  screen.resize(800, 600);
  EXPECT_EQ(watcher.surfaces, 2);
  EXPECT_EQ(watcher.width, 800u);
  screen.changed({790, 590, 100, 100});
  EXPECT_EQ(watcher.last, (Rect{790, 590, 10, 10}));
}

TEST(Screens, the_first_device_takes_the_primary_screen) {
  async::FakeClock clock;
  Screens screens(clock);
  Screen& primary = screens.primary();
  EXPECT_EQ(screens.find("VGA"), nullptr);
  EXPECT_EQ(&screens.add("VGA", "VGA"), &primary);
  Screen& second = screens.add("second", "bochs-display");
  EXPECT_NE(&second, &primary);
  EXPECT_EQ(screens.find("second"), &second);
  EXPECT_EQ(screens.size(), 2u);
}

TEST(ImageFile, ppm_is_a_header_and_rgb) {
  Surface surface(2, 1);
  surface.row(0)[0] = 0xff112233;
  surface.row(0)[1] = 0x00445566;
  const std::vector<uint8_t> bytes = encode(surface, ImageFormat::Ppm);
  const std::string text(bytes.begin(), bytes.end());
  EXPECT_EQ(text, "P6\n2 1\n255\n\x11\x22\x33\x44\x55\x66");
}

// Undoes what encode() did, with zlib and the filters of PNG chapter 9.
TEST(ImageFile, png_decodes_to_the_same_pixels) {
  Surface surface(37, 11);
  for (unsigned y = 0; y < surface.height(); ++y) {
    for (unsigned x = 0; x < surface.width(); ++x)
      surface.row(y)[x] = y % 3 == 0 ? x * 0x10307 + y : x % 2 * 0xffffff;
  }
  const std::vector<uint8_t> png = encode(surface, ImageFormat::Png);
  auto be32 = [&](size_t at) {
    return static_cast<uint32_t>(png.at(at) << 24 | png.at(at + 1) << 16 | png.at(at + 2) << 8 |
                                 png.at(at + 3));
  };
  EXPECT_EQ(be32(16), 37u);
  EXPECT_EQ(be32(20), 11u);
  const size_t idat = 8 + 12 + 13;
  const size_t row_bytes = 37 * 3;
  std::vector<uint8_t> raw((row_bytes + 1) * 11);
  uLongf size = raw.size();
  ASSERT_EQ(::uncompress(raw.data(), &size, png.data() + idat + 8, be32(idat)), Z_OK);
  ASSERT_EQ(size, raw.size());
  std::vector<uint8_t> above(row_bytes);
  for (unsigned y = 0; y < 11; ++y) {
    const uint8_t filter = raw[y * (row_bytes + 1)];
    uint8_t* row = raw.data() + y * (row_bytes + 1) + 1;
    for (size_t i = 0; i < row_bytes; ++i) {
      const uint8_t base = filter == 2 ? above[i] : i >= 3 ? row[i - 3] : uint8_t{0};
      row[i] = static_cast<uint8_t>(row[i] + base);
    }
    std::copy(row, row + row_bytes, above.begin());
    for (unsigned x = 0; x < 37; ++x) {
      const unsigned got = static_cast<unsigned>(row[3 * x] << 16 | row[3 * x + 1] << 8 | row[3 * x + 2]);
      ASSERT_EQ(got, surface.row(y)[x] & 0xffffff) << x << "," << y;
    }
  }
}

TEST(ImageFile, a_file_that_cannot_be_made_is_an_error) {
  EXPECT_FALSE(write_image(Surface(1, 1), ImageFormat::Png, "/nonexistent/x.png").has_value());
}

}  // namespace
}  // namespace rhea::display
