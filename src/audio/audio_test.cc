#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <numbers>
#include <optional>

#include "audio/backend.h"
#include "audio/ring.h"
#include "audio/wav.h"

namespace rhea::audio {
namespace {

struct Heard : Sink {
  explicit Heard(std::vector<int16_t>& to) : samples(to) {}
  void play(std::span<const int16_t> more) override {
    samples.insert(samples.end(), more.begin(), more.end());
  }
  std::vector<int16_t>& samples;
};

struct Steady : Source {
  void record(std::span<int16_t> samples) override { std::ranges::fill(samples, int16_t{1000}); }
};

struct BackendTest : testing::Test {
  std::vector<int16_t> heard;
  Backend backend{"x", {48000, 2}, std::make_unique<Heard>(heard), std::make_unique<Steady>()};
};

TEST_F(BackendTest, the_same_format_passes_unchanged) {
  const auto output = backend.open_output({48000, 2});
  const std::vector<int16_t> samples{1, -1, 2, -2, 3, -3, 4, -4};
  output->play(samples);
  EXPECT_TRUE(heard.empty()) << "not active";
  output->set_active(true);
  output->play(samples);
  output->play(std::vector<int16_t>{5, -5});
  // One frame late: it takes the next one to know what lies between.
  EXPECT_EQ(heard, (std::vector<int16_t>{1, -1, 1, -1, 2, -2, 3, -3, 4, -4}));
}

TEST_F(BackendTest, rates_are_converted_without_drift) {
  const auto output = backend.open_output({22050, 1});
  output->set_active(true);
  std::vector<int16_t> second(22050);
  for (size_t i = 0; i < second.size(); ++i) {
    second[i] =
        static_cast<int16_t>(10000 * std::sin(2 * std::numbers::pi * 440 * static_cast<double>(i) / 22050.0));
  }
  for (int i = 0; i < 4; ++i) output->play(second);
  EXPECT_NEAR(static_cast<double>(heard.size()), 4 * 48000 * 2, 16);
  size_t rises = 0;
  for (size_t i = 2; i < heard.size(); i += 2) rises += heard[i - 2] < 0 && heard[i] >= 0 ? 1u : 0u;
  EXPECT_NEAR(static_cast<double>(rises), 4 * 440, 4);
}

TEST_F(BackendTest, a_capture_hears_the_mix_and_its_end) {
  std::vector<int16_t> copy;
  unsigned ends = 0;
  std::optional<Capture> capture;
  capture.emplace(backend, Format{24000, 1}, [&](std::span<const int16_t> samples) {
    copy.insert(copy.end(), samples.begin(), samples.end());
    if (samples.empty()) ++ends;
  });
  const auto output = backend.open_output({48000, 2});
  output->set_active(true);
  output->play(std::vector<int16_t>(200, 300));
  EXPECT_NEAR(static_cast<double>(copy.size()), 50, 2);
  EXPECT_EQ(copy.back(), 300);
  EXPECT_EQ(heard.size(), 200u);
  output->set_active(false);
  EXPECT_EQ(ends, 1u);
  capture.reset();
  output->set_active(true);
  output->play(std::vector<int16_t>(200, 300));
  EXPECT_NEAR(static_cast<double>(copy.size()), 50, 2);
}

TEST_F(BackendTest, outputs_are_mixed_and_clipped) {
  const auto a = backend.open_output({48000, 2}), b = backend.open_output({48000, 2});
  a->set_active(true);
  b->set_active(true);
  a->play(std::vector<int16_t>(8, 30000));
  EXPECT_TRUE(heard.empty()) << "the other has not come";
  b->play(std::vector<int16_t>(8, 30000));
  ASSERT_EQ(heard.size(), 8u);
  EXPECT_EQ(heard[4], 32767);
  b->set_active(false);
  a->play(std::vector<int16_t>(8, 30000));
  EXPECT_EQ(heard.back(), 30000);
}

TEST_F(BackendTest, one_that_says_nothing_holds_nobody_up) {
  const auto a = backend.open_output({48000, 2}), b = backend.open_output({48000, 2});
  a->set_active(true);
  b->set_active(true);
  for (int i = 0; i < 100; ++i) a->play(std::vector<int16_t>(960, 7));
  EXPECT_GT(heard.size(), 80000u);
}

TEST_F(BackendTest, volume_and_input) {
  const auto output = backend.open_output({48000, 2});
  output->set_active(true);
  output->set_volume(128, 0);
  output->play(std::vector<int16_t>(8, 1000));
  ASSERT_GE(heard.size(), 4u);
  EXPECT_EQ(heard[2], 500);
  EXPECT_EQ(heard[3], 0);
  const auto input = backend.open_input({8000, 1});
  std::vector<int16_t> recorded(100);
  input->record(recorded);
  EXPECT_EQ(recorded[50], 1000);
}

TEST(Ring, keeps_what_fits) {
  Ring ring(4);
  EXPECT_EQ(ring.put(std::vector<int16_t>{1, 2, 3}), 3u);
  EXPECT_EQ(ring.put(std::vector<int16_t>{4, 5, 6}), 1u);
  std::vector<int16_t> out(2);
  EXPECT_EQ(ring.take(out), 2u);
  EXPECT_EQ(ring.put(std::vector<int16_t>{7}), 1u);
  out.resize(8);
  EXPECT_EQ(ring.take(out), 3u);
  EXPECT_EQ(out[2], 7);
  ring.stop();
  EXPECT_FALSE(ring.wait());
}

TEST(Wav, header_and_samples) {
  const std::string path = testing::TempDir() + "rhea-audio-test.wav";
  {
    auto sink = open_wav(path, {8000, 1});
    ASSERT_TRUE(sink);
    (*sink)->play(std::vector<int16_t>{1, 2, 3});
  }
  std::ifstream file(path, std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(file), {}};
  ASSERT_EQ(bytes.size(), 50u);
  EXPECT_EQ(bytes.substr(0, 4), "RIFF");
  EXPECT_EQ(bytes.substr(8, 8), "WAVEfmt ");
  EXPECT_EQ(bytes[40], 6);
  EXPECT_EQ(bytes[48], 3);
  EXPECT_FALSE(open_wav("/nonexistent/x.wav", {8000, 1}));
}

}  // namespace
}  // namespace rhea::audio
