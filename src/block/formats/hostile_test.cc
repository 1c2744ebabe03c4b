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

// Places worth changing: in lines that are not all one value, and not too many of a large table.
std::vector<uint64_t> places(const std::vector<uint8_t>& good, uint64_t metadata, uint64_t step) {
  constexpr size_t kMost = 400;
  std::vector<uint64_t> out;
  for (uint64_t at = 0; at < std::min<uint64_t>(metadata, good.size()); at += step) {
    const auto line = good.begin() + static_cast<std::ptrdiff_t>(at & ~uint64_t{15});
    const auto end = std::min(line + 16, good.end());
    if (at < 64 || std::any_of(line, end, [](uint8_t byte) { return byte != 0 && byte != 0xff; }))
      out.push_back(at);
  }
  if (out.size() <= kMost) return out;
  // The header whole, of the rest some.
  const size_t stride = out.size() / (kMost / 2) + 1;
  size_t kept = kMost / 2;
  for (size_t i = kept; i < out.size(); i += stride) out[kept++] = out[i];
  out.resize(kept);
  return out;
}

class Hostile : public ::testing::TestWithParam<Sample> {};

TEST_P(Hostile, good_image_opens) {
  const std::vector<uint8_t> good = make_image(GetParam());
  EXPECT_TRUE(exercise(*find_format(GetParam().format), good, false));
}

TEST_P(Hostile, no_changed_byte_does_harm) {
  const std::vector<uint8_t> good = make_image(GetParam());
  const FormatDriver& driver = *find_format(GetParam().format);
  for (const uint64_t at : places(good, GetParam().metadata, 1)) {
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
    for (const uint64_t at : places(good, GetParam().metadata, 4)) {
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
                                           Sample{"qed", "", 400000}, Sample{"qed", "cluster_size=4k", 50000},
                                           Sample{"vmdk", "", 14000},
                                           Sample{"vmdk", "subformat=streamOptimized", 14000},
                                           Sample{"vpc", "", 2600}, Sample{"vhdx", "block_size=1M", 0x301000},
                                           Sample{"vpc", "subformat=fixed", 0}));

}  // namespace
}  // namespace rhea::block
