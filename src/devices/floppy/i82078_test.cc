#include "devices/floppy/i82078.h"

#include <gtest/gtest.h>

#include "async/fake_clock.h"
#include "devices/testing_drives.h"

namespace rhea::devices {
namespace {

struct Channel final : FloppyDma {
  size_t to_memory(std::span<const uint8_t> from) override {
    const size_t now = std::min(from.size(), limit - memory.size());
    memory.insert(memory.end(), from.begin(), from.begin() + static_cast<std::ptrdiff_t>(now));
    return now;
  }
  size_t from_memory(std::span<uint8_t> to) override {
    const size_t now = std::min(to.size(), memory.size() - taken);
    std::copy_n(memory.begin() + static_cast<std::ptrdiff_t>(taken), now, to.begin());
    taken += now;
    return now;
  }
  bool terminal_count() const override { return memory.size() == limit && (taken == 0 || taken == limit); }
  std::vector<uint8_t> memory;
  size_t limit = 0, taken = 0;
};

struct Pin final : bus::IrqSink {
  void set_irq(unsigned, bool level) override {
    if (level && !high) rises++;
    high = level;
  }
  bool high = false;
  unsigned rises = 0;
};

class FloppyTest : public ::testing::Test {
 protected:
  FloppyTest() {
    lock.lock();
    fdc.plug(*drive, 0);
    fdc.reset(bus::ResetKind::Cold);
    fdc.io_write(2, 1, 0x1c);
    for (int i = 0; i < 4; ++i) {
      command({0x08});
      result(2);
    }
    fdc.io_write(7, 1, 0);  // 500 kbit/s
    command({0x03, 0xaf, 0x02});
  }
  ~FloppyTest() override {
    drive.reset();
    lock.unlock();
  }
  void command(std::initializer_list<int> bytes) {
    for (const int byte : bytes) {
      EXPECT_EQ(fdc.io_read(4, 1) & 0xc0, 0x80u);
      fdc.io_write(5, 1, static_cast<uint64_t>(byte));
    }
    drives.settle();
  }
  std::vector<unsigned> result(size_t count) {
    std::vector<unsigned> out;
    while ((fdc.io_read(4, 1) & 0xd0) == 0xd0 && out.size() < 20)
      out.push_back(static_cast<unsigned>(fdc.io_read(5, 1)));
    EXPECT_EQ(out.size(), count);
    out.resize(count);
    return out;
  }
  std::vector<uint8_t> expected(size_t sector, size_t count) {
    const auto all = testing::TestDrives::pattern(1440 * 1024);
    const auto begin = all.begin() + static_cast<std::ptrdiff_t>(sector * 512);
    return {begin, begin + static_cast<std::ptrdiff_t>(count * 512)};
  }
  void seek(int track) {
    command({0x0f, 0, track});
    command({0x08});
    EXPECT_EQ(result(2)[0], 0x20u);
  }

  std::recursive_mutex lock;
  async::FakeClock clock;
  testing::TestDrives drives{lock, clock};
  Pin pin;
  Channel channel;
  block::Drive& disk = drives.add("fd", 1440 * 1024);
  I82078 fdc{{.irq = bus::IrqLine(pin, 0), .dma = &channel}};
  std::unique_ptr<FloppyDrive> drive = *FloppyDrive::create(disk, FloppyType::None);
};

TEST_F(FloppyTest, a_reset_interrupts_once_and_only_when_it_ends) {
  pin.rises = 0;
  fdc.io_write(2, 1, 0x18);
  EXPECT_EQ(pin.rises, 0u);
  fdc.io_write(2, 1, 0x1c);
  EXPECT_EQ(pin.rises, 1u);
  for (unsigned unit = 0; unit < 4; ++unit) {
    command({0x08});
    EXPECT_EQ(result(2)[0], 0xc0 | unit);
  }
  command({0x08});
  EXPECT_EQ(result(1)[0], 0x80u);
}

TEST_F(FloppyTest, a_track_is_read_by_dma_across_its_sides) {
  seek(3);
  channel.limit = 20 * 512;
  command({0xe6, 0, 3, 0, 10, 2, 18, 0x1b, 0xff});
  EXPECT_TRUE(pin.high);
  EXPECT_EQ(channel.memory, expected(3 * 36 + 9, 20));
  EXPECT_EQ(result(7), (std::vector<unsigned>{0x04, 0, 0, 3, 1, 12, 2}));
  EXPECT_FALSE(pin.high);
}

TEST_F(FloppyTest, what_is_written_reaches_the_disk) {
  seek(0);
  channel.memory.assign(1024, 0x5a);
  channel.limit = 1024;
  command({0xc5, 0, 0, 0, 2, 2, 18, 0x1b, 0xff});
  EXPECT_EQ(result(7)[0], 0u);
  std::vector<uint8_t> back(1024);
  ASSERT_TRUE(disk.read_now(512, back));
  EXPECT_EQ(back, channel.memory);
}

TEST_F(FloppyTest, sectors_that_are_not_there_end_abnormally) {
  seek(1);
  channel.limit = 512;
  command({0xe6, 0, 1, 0, 19, 2, 18, 0x1b, 0xff});
  EXPECT_EQ(result(7)[1], 0x04u);
  fdc.io_write(7, 1, 2);  // the wrong rate
  command({0xe6, 0, 1, 0, 1, 2, 18, 0x1b, 0xff});
  EXPECT_EQ(result(7)[1], 0x01u);
}

TEST_F(FloppyTest, the_specification_of_drives_ends_with_its_last_byte) {
  command({0x8e, 0x00, 0xc0});
  EXPECT_EQ(fdc.io_read(4, 1), 0x80u);
  command({0x8e, 0x05, 0x25, 0x80});
  EXPECT_EQ(result(4), (std::vector<unsigned>{0x05, 0x05, 0, 0}));
  fdc.io_write(7, 1, 1);  // in the second table 500 kbit/s
  command({0x4a, 0});
  EXPECT_EQ(result(7)[0], 0u);
}

TEST_F(FloppyTest, disks_of_40_tracks_are_reached_with_double_steps_and_without) {
  drive = nullptr;
  block::Drive& small = drives.add("small", 360 * 1024);
  drive = *FloppyDrive::create(small, FloppyType::None);
  fdc.plug(*drive, 0);
  fdc.io_write(7, 1, 1);
  for (const int track : {60, 30}) {
    seek(track);
    channel.memory.clear();
    channel.limit = 512;
    command({0xe6, 0, 30, 1, 2, 2, 9, 0x1b, 0xff});
    EXPECT_EQ(result(7)[0], 0x04u) << track;
    EXPECT_EQ(channel.memory, expected(30 * 18 + 9 + 1, 1));
  }
  seek(61);
  command({0xe6, 0, 30, 1, 2, 2, 9, 0x1b, 0xff});
  EXPECT_EQ(result(7)[2], 0x10u);
  seek(78);
  channel.memory.clear();
  for (int sector = 1; sector <= 9; ++sector) {
    for (const int byte : {39, 1, sector, 2}) channel.memory.push_back(static_cast<uint8_t>(byte));
  }
  channel.limit = channel.memory.size();
  channel.taken = 0;
  command({0x4d, 4, 2, 9, 0x50, 0xe5});
  EXPECT_EQ(result(7)[0], 0x04u);
  std::vector<uint8_t> back(10 * 512);
  ASSERT_TRUE(small.read_now((720 - 10) * 512, back));
  EXPECT_NE(back[511], 0xe5);
  EXPECT_EQ(std::vector<uint8_t>(back.begin() + 512, back.end()), std::vector<uint8_t>(9 * 512, 0xe5));
}

TEST_F(FloppyTest, the_change_line_falls_with_a_step_and_rises_with_another_disk) {
  seek(1);
  EXPECT_EQ(fdc.io_read(7, 1) & 0x80, 0u);
  ASSERT_TRUE(disk.eject(false));
  EXPECT_EQ(fdc.io_read(7, 1) & 0x80, 0x80u);
}

}  // namespace
}  // namespace rhea::devices
