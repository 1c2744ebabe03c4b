// Images whose headers and tables lie, made from good ones by changing bytes: each format, each byte.
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>
#include <iterator>

#include "block/open.h"
#include "block/testing/exercise.h"

namespace rhea::block {
namespace {

struct Sample {
  const char* format;
  const char* options;
  uint64_t metadata;  // bytes from the start that are worth changing
};

std::vector<uint8_t> make_image(const Sample& sample) {
  const FormatDriver* driver = find_format(sample.format);
  EXPECT_NE(driver, nullptr);
  const std::string name = ::testing::TempDir() + "hostile-" + std::to_string(::getpid());
  CreateRequest request{.filename = name, .size = 3 << 20, .values = {}};
  EXPECT_TRUE(request.values.parse(sample.options, driver->create_options()));
  const auto made = driver->create(request);
  EXPECT_TRUE(made) << made.error().message();
  OpenFlags flags;
  flags.writable = true;
  auto image = open_image({.filename = name, .format = sample.format, .options = {}}, flags);
  EXPECT_TRUE(image) << image.error().message();
  const std::vector<uint8_t> data(70000, 0x42);
  EXPECT_TRUE((*image)->write(5000, data));
  EXPECT_TRUE((*image)->write((3 << 20) - data.size(), data));
  EXPECT_TRUE((*image)->close());
  image->reset();
  std::ifstream in(name, std::ios::binary);
  std::vector<uint8_t> out{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  ::unlink(name.c_str());
  return out;
}

// Bytes worth changing: those in lines that are not all zeros.
bool interesting(const std::vector<uint8_t>& good, uint64_t at) {
  const uint64_t line = at & ~uint64_t{15};
  if (line < 64) return true;
  for (uint64_t i = line; i < std::min<uint64_t>(line + 16, good.size()); ++i) {
    if (good[i] != 0 && good[i] != 0xff) return true;
  }
  return false;
}

class Hostile : public ::testing::TestWithParam<Sample> {};

TEST_P(Hostile, good_image_opens) {
  const std::vector<uint8_t> good = make_image(GetParam());
  EXPECT_TRUE(exercise(*find_format(GetParam().format), good, false));
}

TEST_P(Hostile, no_changed_byte_does_harm) {
  const std::vector<uint8_t> good = make_image(GetParam());
  const FormatDriver& driver = *find_format(GetParam().format);
  for (uint64_t at = 0; at < std::min<uint64_t>(GetParam().metadata, good.size()); ++at) {
    if (!interesting(good, at)) continue;
    for (const uint8_t value :
         {uint8_t{0}, uint8_t{0xff}, uint8_t{0x7f}, static_cast<uint8_t>(good[at] ^ 1)}) {
      if (value == good[at]) continue;
      std::vector<uint8_t> bad = good;
      bad[at] = value;
      exercise(driver, bad, at % 4 == 3);
    }
  }
}

TEST_P(Hostile, no_large_field_does_harm) {
  const std::vector<uint8_t> good = make_image(GetParam());
  const FormatDriver& driver = *find_format(GetParam().format);
  for (const size_t width : {4, 8}) {
    for (uint64_t at = 0; at + width < std::min<uint64_t>(GetParam().metadata, good.size()); at += 4) {
      if (!interesting(good, at)) continue;
      for (const uint8_t value : {uint8_t{0}, uint8_t{0xff}, uint8_t{0x7f}, uint8_t{0x10}}) {
        std::vector<uint8_t> bad = good;
        std::fill_n(bad.begin() + static_cast<std::ptrdiff_t>(at), width, value);
        exercise(driver, bad, false);
      }
    }
  }
}

TEST_P(Hostile, no_truncation_does_harm) {
  const std::vector<uint8_t> good = make_image(GetParam());
  const FormatDriver& driver = *find_format(GetParam().format);
  for (size_t length = 0; length < good.size(); length += length < 4096 ? 61 : 100003) {
    exercise(driver, {good.begin(), good.begin() + static_cast<std::ptrdiff_t>(length)}, length % 2 == 1);
  }
}

INSTANTIATE_TEST_SUITE_P(formats, Hostile,
                         ::testing::Values(Sample{"vdi", "", 600}, Sample{"vdi", "static=on", 600},
                                           Sample{"vpc", "", 2600}, Sample{"vpc", "subformat=fixed", 0}));

}  // namespace
}  // namespace rhea::block
