#include <gtest/gtest.h>

#include <mutex>

#include "async/fake_clock.h"
#include "base/endian.h"
#include "bus/pci/pci_bus.h"
#include "devices/audio/hda_codec.h"
#include "devices/audio/intel_hda.h"
#include "devices/audio/pc_speaker.h"
#include "devices/timer/i8254.h"

namespace rhea::devices {
namespace {

struct Heard : audio::Sink {
  explicit Heard(std::vector<int16_t>& to) : samples(to) {}
  void play(std::span<const int16_t> more) override {
    samples.insert(samples.end(), more.begin(), more.end());
  }
  std::vector<int16_t>& samples;
};

struct Line : bus::IrqSink {
  bool level = false;
  void set_irq(unsigned, bool on) override { level = on; }
};

constexpr uint32_t kCorb = 0x1000, kRirb = 0x2000, kList = 0x3000, kPositions = 0x4000, kBuffer = 0x8000;

struct HdaTest : testing::Test {
  HdaTest() {
    auto ram = memory::RamBlock::create("ram", 1 << 20);
    EXPECT_TRUE(ram);
    block = std::move(*ram);
    EXPECT_TRUE(memory.map_ram(Gpa{0}, *block, 0, block->size()));
    pci.attach(hda, 4 << 3);
    hda.config_write(4, 2, 6);
    put(0x08, 1);
  }
  uint32_t get(unsigned offset, unsigned size = 4) {
    return static_cast<uint32_t>(hda.io_read(offset, size));
  }
  void put(unsigned offset, uint32_t value, unsigned size = 4) { hda.io_write(offset, size, value); }
  uint32_t verb(uint32_t node, uint32_t rest) {
    put(0x60, node << 20 | rest);
    put(0x68, 1, 2);
    EXPECT_EQ(get(0x68, 2), 2u);
    const uint32_t answer = get(0x64);
    put(0x68, 2, 2);
    return answer;
  }
  void poke32(uint64_t at, uint32_t value) {
    uint8_t bytes[4];
    store_le<uint32_t>(bytes, value);
    EXPECT_TRUE(hda.dma_write(at, bytes));
  }
  uint32_t peek32(uint64_t at) {
    uint8_t bytes[4] = {};
    EXPECT_TRUE(hda.dma_read(at, bytes));
    return load_le<uint32_t>(bytes);
  }

  std::recursive_mutex lock;
  async::FakeClock clock;
  memory::AddressSpace memory{"memory", lock}, ports{"ports", lock};
  std::unique_ptr<memory::RamBlock> block;
  std::vector<int16_t> heard;
  audio::Backend backend{"x", {48000, 2}, std::make_unique<Heard>(heard), nullptr};
  bus::pci::PciBus pci{{.memory = memory, .ports = ports}};
  IntelHda hda{{.clock = clock}};
  StereoHdaCodec codec{
      {.bus = hda.hda_bus(), .address = 0, .backend = &backend, .output = true, .input = true}};
};

TEST_F(HdaTest, finds_its_codec_and_walks_its_nodes) {
  EXPECT_EQ(get(0x0e, 2), 1u) << "STATESTS";
  put(0x0e, 1, 2);
  EXPECT_EQ(get(0x0e, 2), 0u);
  EXPECT_EQ(verb(0, 0xf0000), 0x1af40021u);
  EXPECT_EQ(verb(1, 0xf0004), 0x00020004u);
  EXPECT_EQ(verb(3, 0xf0009) >> 20, 4u);
  EXPECT_EQ(verb(3, 0xf0200), 2u);
  EXPECT_EQ(verb(3, 0xf1c00), 0x01014110u);
  verb(2, 0x3b030);
  EXPECT_EQ(verb(2, 0xba000), 0x30u) << "left";
  EXPECT_EQ(verb(2, 0xb8000), 0x30u) << "right";
  EXPECT_EQ(verb(9, 0xf0009), 0u);
  put(0x60, 0xf0000000);
  put(0x68, 1, 2);
  EXPECT_EQ(get(0x64), 0u) << "nobody there";
}

TEST_F(HdaTest, commands_by_ring) {
  put(0x40, kCorb);
  put(0x50, kRirb);
  put(0x5a, 2, 2);
  put(0x5c, 3, 1);
  put(0x20, 0xc0000000);
  poke32(kCorb + 4, 0x000f0000);
  poke32(kCorb + 8, 0x001f0004);
  poke32(kCorb + 12, 0x003f0200);
  put(0x4c, 2, 1);
  put(0x48, 3, 2);
  EXPECT_EQ(get(0x58, 2), 2u) << "as many as RINTCNT says";
  EXPECT_EQ(peek32(kRirb + 8), 0x1af40021u);
  EXPECT_EQ(peek32(kRirb + 16), 0x00020004u);
  EXPECT_TRUE(hda.intx());
  put(0x5d, 1, 1);
  EXPECT_EQ(peek32(kRirb + 24), 2u);
  put(0x5d, 1, 1);
  EXPECT_FALSE(hda.intx());
}

TEST_F(HdaTest, a_stream_is_heard_at_its_pace) {
  constexpr uint32_t kBytes = 4800 * 4;  // 100 ms of 48 kHz stereo
  std::vector<uint8_t> samples(kBytes);
  for (uint32_t i = 0; i < kBytes; i += 2)
    store_le<uint16_t>(samples.data() + i, static_cast<uint16_t>(i / 4 + 1));
  ASSERT_TRUE(hda.dma_write(kBuffer, samples));
  poke32(kList, kBuffer);
  poke32(kList + 8, kBytes / 2);
  poke32(kList + 12, 1);
  poke32(kList + 16, kBuffer + kBytes / 2);
  poke32(kList + 24, kBytes / 2);
  poke32(kList + 28, 1);
  verb(2, 0x20011);
  verb(2, 0x70610);
  put(0x70, kPositions | 1);
  put(0x20, 0x80000010);
  const unsigned stream = 0x80 + 4 * 0x20;  // the first output
  put(stream + 0x18, kList);
  put(stream + 0x08, kBytes);
  put(stream + 0x0c, 1, 2);
  put(stream + 0x12, 0x0011, 2);
  put(stream, 0x100006, 4);
  clock.advance(40'000'000);
  EXPECT_EQ(get(stream + 4), 1920u * 4);
  EXPECT_FALSE(hda.intx());
  clock.advance(15'000'000);
  EXPECT_TRUE(hda.intx()) << "the first half is done";
  EXPECT_EQ(get(0x24), 0x80000010u);
  put(stream + 3, 4, 1);
  EXPECT_FALSE(hda.intx());
  clock.advance(100'000'000);
  EXPECT_EQ(get(stream + 4), 2640u * 4) << "went round";
  EXPECT_EQ(peek32(kPositions + 8 * 4), get(stream + 4));
  ASSERT_GE(heard.size(), 7000u * 2);
  EXPECT_EQ(heard[2 * 101], 101);
  put(stream, 0x100000, 4);
  const size_t before = heard.size();
  clock.advance(100'000'000);
  EXPECT_EQ(heard.size(), before);
}

TEST_F(HdaTest, lists_that_make_no_sense_do_no_harm) {
  const unsigned stream = 0x80 + 4 * 0x20;
  verb(2, 0x70610);
  put(stream + 0x12, 0x7f7f, 2);
  put(stream + 0x0c, 0xff, 2);
  put(stream, 0x100006, 4);
  clock.advance(50'000'000);  // all entries are empty
  put(stream + 0x1c, 0xffffffff);
  clock.advance(50'000'000);  // there is no list
  EXPECT_NE(get(stream + 3, 1) & 0x10, 0u);
  put(0x08, 0);
  EXPECT_EQ(get(stream), 0u);
}

TEST(PcSpeaker, a_square_wave_at_the_counters_pitch) {
  async::FakeClock clock;
  std::vector<int16_t> heard;
  audio::Backend backend{"x", {32000, 1}, std::make_unique<Heard>(heard), nullptr};
  PcSpeaker speaker({.clock = clock, .backend = backend});
  Line line;
  I8254 pit({.clock = clock, .irq0 = bus::IrqLine(line, 0), .speaker = [&](uint64_t p) { speaker.tone(p); }});
  pit.io_write(3, 1, 0xb6);
  pit.io_write(2, 1, 1193 & 0xff);
  pit.io_write(2, 1, 1193 >> 8);
  clock.advance(100'000'000);
  EXPECT_TRUE(heard.empty());
  pit.io_write(4, 1, 3);
  clock.advance(1'000'000'000);
  pit.io_write(4, 1, 0);
  clock.advance(1'000'000'000);
  EXPECT_NEAR(static_cast<double>(heard.size()), 32000, 40);
  size_t rises = 0;
  for (size_t i = 1; i < heard.size(); ++i) rises += heard[i - 1] < 0 && heard[i] > 0 ? 1u : 0u;
  EXPECT_NEAR(static_cast<double>(rises), 1000, 3);
}

}  // namespace
}  // namespace rhea::devices
