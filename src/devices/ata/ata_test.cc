#include <gtest/gtest.h>

#include "async/fake_clock.h"
#include "devices/ata/ata_disk.h"
#include "devices/ata/ata_regs.h"
#include "devices/ata/atapi_cdrom.h"
#include "devices/ata/piix3_ide.h"
#include "devices/specimens.h"

namespace rhea::devices {
namespace {

struct Pin final : bus::IrqSink {
  void set_irq(unsigned, bool level) override {
    if (level && !high) rises++;
    high = level;
  }
  bool high = false;
  unsigned rises = 0;
};

// A PIIX3 with a disk and a CD-ROM drive on its first channel.
class AtaTest : public ::testing::Test {
 protected:
  static constexpr uint64_t kDiskBytes = 4 << 20, kDiscBytes = 1 << 20;
  static constexpr unsigned kBusMaster = 0xc000;

  AtaTest() {
    world.lock.lock();
    world.bus.attach(ide, bus::pci::devfn_of(1, 1));
    ide.config_write(0x20, 4, kBusMaster);
    ide.config_write(0x04, 2, 5);
    disk = *AtaDisk::create(disk_drive, {.serial = "S1"});
    cdrom = *AtapiCdrom::create(disc_drive, {.serial = "S2"});
    disk->reset(bus::ResetKind::Cold);
    cdrom->reset(bus::ResetKind::Cold);
    ide.reset(bus::ResetKind::Cold);
    ide.config_write(0x20, 4, kBusMaster);
    ide.config_write(0x04, 2, 5);
    ide.channel(0).plug(*disk, 0);
    ide.channel(0).plug(*cdrom, 1);
  }
  ~AtaTest() override {
    disk.reset();
    cdrom.reset();
    world.lock.unlock();
  }

  void out(unsigned reg, uint8_t value) { ide.channel(0).command_block().io_write(reg, 1, value); }
  uint8_t in(unsigned reg) { return static_cast<uint8_t>(ide.channel(0).command_block().io_read(reg, 1)); }
  uint8_t status() {
    drives.settle();
    return in(7);
  }
  // The upper halves of 48-bit addresses and counts.
  void clear_high_order() {
    for (unsigned reg = 2; reg <= 5; ++reg) out(reg, 0);
  }
  void command(uint8_t code, uint64_t lba, uint8_t count, bool second = false) {
    out(2, count);
    out(3, static_cast<uint8_t>(lba));
    out(4, static_cast<uint8_t>(lba >> 8));
    out(5, static_cast<uint8_t>(lba >> 16));
    out(6, static_cast<uint8_t>((second ? 0xf0 : 0xe0) | (lba >> 24 & 0xf)));
    out(7, code);
    drives.settle();
  }
  std::vector<uint8_t> read_data(size_t bytes) {
    std::vector<uint8_t> data(bytes);
    for (size_t i = 0; i < bytes; i += 2) {
      if (i % 512 == 0) drives.settle();
      const uint64_t word = ide.channel(0).command_block().io_read(0, 2);
      data[i] = static_cast<uint8_t>(word);
      data[i + 1] = static_cast<uint8_t>(word >> 8);
    }
    drives.settle();
    return data;
  }
  void write_data(std::span<const uint8_t> data) {
    for (size_t i = 0; i < data.size(); i += 2)
      ide.channel(0).command_block().io_write(0, 2, data[i] | uint64_t{data[i + 1]} << 8);
    drives.settle();
  }
  std::vector<uint8_t> expected(uint64_t lba, size_t sectors) {
    const auto all = testing::TestDrives::pattern(kDiskBytes);
    const auto begin = all.begin() + static_cast<std::ptrdiff_t>(lba * 512);
    return {begin, begin + static_cast<std::ptrdiff_t>(sectors * 512)};
  }
  // One descriptor at 0x1000 for a buffer at 0x10000.
  void start_bus_master(uint32_t bytes, bool to_memory) {
    const uint8_t table[8] = {0, 0,   1, 0, static_cast<uint8_t>(bytes), static_cast<uint8_t>(bytes >> 8),
                              0, 0x80};
    world.memory.write(0x1000, table);
    world.ports.store(kBusMaster + 4, 4, 0x1000);
    world.ports.store(kBusMaster + 2, 1, 0x06);
    world.ports.store(kBusMaster, 1, to_memory ? 0x09 : 0x01);
    drives.settle();
  }
  // A packet by PIO: what it gives.
  std::vector<uint8_t> packet(std::vector<uint8_t> cdb, uint16_t limit = 0xfffe) {
    cdb.resize(12);
    out(6, 0xb0);
    out(1, 0);
    out(4, static_cast<uint8_t>(limit));
    out(5, static_cast<uint8_t>(limit >> 8));
    out(7, ata::kPacket);
    write_data(cdb);
    std::vector<uint8_t> all;
    while ((status() & ata::kStatusData) != 0) {
      const size_t bytes = in(4) | size_t{in(5)} << 8;
      EXPECT_LE(bytes, limit);
      const auto block = read_data(bytes + (bytes & 1));
      all.insert(all.end(), block.begin(), block.begin() + static_cast<std::ptrdiff_t>(bytes));
    }
    return all;
  }
  scsi::Sense sense() {
    const auto data = packet({0x03, 0, 0, 0, 18});
    return {static_cast<uint8_t>(data.at(2)), data.at(12), data.at(13)};
  }

  testing::World world;
  testing::TestDrives& drives = world.disks;
  Pin irq14, irq15;
  Piix3Ide ide{{.irq14 = bus::IrqLine(irq14, 0), .irq15 = bus::IrqLine(irq15, 0)}};
  block::Drive& disk_drive = drives.add("disk", kDiskBytes, false, true);
  block::Drive& disc_drive = drives.add("disc", kDiscBytes, true);
  std::unique_ptr<AtaDisk> disk;
  std::unique_ptr<AtapiCdrom> cdrom;
};

TEST_F(AtaTest, signatures_tell_disks_from_packet_devices) {
  out(6, 0xa0);
  EXPECT_EQ(in(2), 1);
  EXPECT_EQ(in(3), 1);
  EXPECT_EQ(in(4), 0);
  EXPECT_EQ(in(7), 0x50);
  out(6, 0xb0);
  EXPECT_EQ(in(4), 0x14);
  EXPECT_EQ(in(5), 0xeb);
  EXPECT_EQ(in(7), 0);
  // Nobody is on the second channel.
  EXPECT_EQ(ide.channel(1).command_block().io_read(7, 1), 0u);
}

TEST_F(AtaTest, identify_names_the_disk_and_its_size) {
  command(ata::kIdentify, 0, 0);
  EXPECT_TRUE(irq14.high);
  EXPECT_EQ(status(), 0x58);
  EXPECT_FALSE(irq14.high);
  const auto data = read_data(512);
  EXPECT_EQ(data[27 * 2 + 1], 'Q');
  EXPECT_EQ(data[27 * 2], 'E');
  const uint64_t sectors = data[120] | uint64_t{data[121]} << 8 | uint64_t{data[122]} << 16;
  EXPECT_EQ(sectors, kDiskBytes / 512);
  EXPECT_EQ(status(), 0x50);
}

TEST_F(AtaTest, sectors_are_read_by_pio_one_interrupt_each) {
  irq14.rises = 0;
  command(ata::kReadSectors, 70, 3);
  std::vector<uint8_t> all;
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(status(), 0x58);
    const auto sector = read_data(512);
    all.insert(all.end(), sector.begin(), sector.end());
  }
  EXPECT_EQ(all, expected(70, 3));
  EXPECT_EQ(status(), 0x50);
  EXPECT_EQ(irq14.rises, 3u);
}

TEST_F(AtaTest, runs_of_words_are_words_one_by_one) {
  auto& ports = ide.channel(0).command_block();
  command(ata::kReadSectors, 70, 1);
  std::vector<uint8_t> data(516, 0xee);  // two words more than there are
  ports.io_read_run(0, 2, data);
  const auto sector = expected(70, 1);
  EXPECT_TRUE(std::equal(sector.begin(), sector.end(), data.begin()));
  EXPECT_EQ(data[512] | data[513] | data[514] | data[515], 0);
  EXPECT_EQ(status(), 0x50);
  command(ata::kWriteSectors, 71, 1);
  ports.io_write_run(0, 2, sector);
  drives.settle();
  EXPECT_EQ(status(), 0x50);
  command(ata::kReadSectors, 71, 1);
  EXPECT_EQ(read_data(512), sector);
}

TEST_F(AtaTest, long_reads_go_past_the_buffer) {
  clear_high_order();
  command(ata::kReadSectorsExt, 5, 200);
  EXPECT_EQ(read_data(200 * 512), expected(5, 200));
  EXPECT_EQ(status(), 0x50);
}

TEST_F(AtaTest, multiple_sectors_come_in_blocks) {
  command(ata::kSetMultiple, 0, 8);
  EXPECT_EQ(status(), 0x50);
  irq14.rises = 0;
  command(ata::kReadMultiple, 1, 20);
  EXPECT_EQ(status(), 0x58);
  EXPECT_EQ(read_data(20 * 512), expected(1, 20));
  EXPECT_EQ(status(), 0x50);
  command(ata::kSetMultiple, 0, 3);
  EXPECT_EQ(status(), 0x51);
}

TEST_F(AtaTest, chs_addresses_count_sectors_from_one) {
  out(6, 0xa0);
  out(2, 1);
  out(3, 1);
  out(4, 1);  // cylinder 1, head 0, sector 1
  out(5, 0);
  out(7, ata::kReadSectors);
  drives.settle();
  EXPECT_EQ(read_data(512), expected(16 * 63, 1));
  out(3, 0);
  out(7, ata::kReadSectors);
  EXPECT_EQ(status(), 0x51);
}

TEST_F(AtaTest, what_is_written_by_pio_is_read_by_dma) {
  std::vector<uint8_t> data(1024);
  for (size_t i = 0; i < data.size(); ++i) data[i] = static_cast<uint8_t>(i * 7);
  command(ata::kWriteSectors, 100, 2);
  EXPECT_FALSE(irq14.high);  // the first block is asked for without one
  write_data(std::span(data).first(512));
  EXPECT_TRUE(irq14.high);
  EXPECT_EQ(status(), 0x58);
  write_data(std::span(data).last(512));
  EXPECT_EQ(status(), 0x50);
  command(ata::kReadDma, 100, 2);
  start_bus_master(1024, true);
  EXPECT_EQ(world.ports.load(kBusMaster + 2, 1) & 7, 4u);
  EXPECT_EQ(status(), 0x50);
  std::vector<uint8_t> back(1024);
  world.memory.read(0x10000, back);
  EXPECT_EQ(back, data);
}

TEST_F(AtaTest, dma_writes_reach_the_disk_and_flush_does_too) {
  std::vector<uint8_t> data(4096, 0x3c), back(4096);
  world.memory.write(0x10000, data);
  start_bus_master(4096, false);  // the engine may be started first
  command(ata::kWriteDma, 8, 8);
  EXPECT_EQ(status(), 0x50);
  command(ata::kFlush, 0, 0);
  EXPECT_EQ(status(), 0x50);
  ASSERT_TRUE(disk_drive.read_now(8 * 512, back));
  EXPECT_EQ(back, data);
}

TEST_F(AtaTest, a_table_that_is_too_short_ends_the_command_with_an_error) {
  command(ata::kReadDma, 0, 4);
  start_bus_master(512, true);
  EXPECT_EQ(status() & 1, 1);
  EXPECT_EQ(in(7), 0x51);
}

TEST_F(AtaTest, sectors_behind_the_end_are_not_found) {
  command(ata::kReadSectors, kDiskBytes / 512 - 1, 2);
  EXPECT_EQ(status(), 0x51);
  EXPECT_EQ(in(1), ata::kErrorNotFound);
}

TEST_F(AtaTest, host_errors_are_uncorrectable_sectors) {
  static_cast<testing::MemoryImage&>(*disk_drive.medium().image).set_broken(true);
  command(ata::kReadSectors, 3, 1);
  EXPECT_EQ(status(), 0x51);
  EXPECT_EQ(in(1), ata::kErrorUncorrectable);
  EXPECT_EQ(in(3), 3);
}

TEST_F(AtaTest, trim_zeroes_ranges) {
  std::vector<uint8_t> ranges(512), back(512);
  ranges[0] = 9;  // LBA 9, 2 sectors
  ranges[6] = 2;
  world.memory.write(0x10000, ranges);
  clear_high_order();
  out(1, 1);
  command(ata::kDataSetManagement, 0, 1);
  start_bus_master(512, false);
  EXPECT_EQ(status(), 0x50);
  ASSERT_TRUE(disk_drive.read_now(10 * 512, back));
  EXPECT_EQ(back, std::vector<uint8_t>(512));
}

TEST_F(AtaTest, features_switch_the_write_cache) {
  out(1, 0x82);
  command(ata::kSetFeatures, 0, 0);
  EXPECT_EQ(status(), 0x50);
  EXPECT_FALSE(disk_drive.write_cache());
  out(1, 0x02);
  command(ata::kSetFeatures, 0, 0);
  EXPECT_TRUE(disk_drive.write_cache());
  out(1, 0x77);
  command(ata::kSetFeatures, 0, 0);
  EXPECT_EQ(status(), 0x51);
}

TEST_F(AtaTest, smart_reports_health) {
  out(1, 0xda);
  command(ata::kSmart, 0xc24f00, 0);
  EXPECT_EQ(status(), 0x50);
  EXPECT_EQ(in(4), 0x4f);
  out(1, 0xd0);
  command(ata::kSmart, 0xc24f00, 1);
  const auto page = read_data(512);
  uint8_t sum = 0;
  for (const uint8_t byte : page) sum = static_cast<uint8_t>(sum + byte);
  EXPECT_EQ(sum, 0);
  out(1, 0xd0);
  command(ata::kSmart, 0, 1);  // without the key
  EXPECT_EQ(status(), 0x51);
}

TEST_F(AtaTest, a_software_reset_ends_what_runs) {
  out(6, 0xe0);
  out(2, 8);
  out(7, ata::kReadSectors);
  ide.channel(0).control_block().io_write(0, 1, 4);
  EXPECT_EQ(in(7), 0x80);
  ide.channel(0).control_block().io_write(0, 1, 0);
  EXPECT_EQ(status(), 0x50);
  EXPECT_EQ(in(3), 1);
  EXPECT_FALSE(irq14.high);
}

TEST_F(AtaTest, the_disc_is_read_by_packets_of_any_size) {
  EXPECT_EQ(packet({0x00}).size(), 0u);
  EXPECT_EQ(in(7) & 1, 0);
  const auto capacity = packet({0x25});
  ASSERT_EQ(capacity.size(), 8u);
  EXPECT_EQ(capacity[2] << 8 | capacity[3], kDiscBytes / 2048 - 1);
  const auto whole = testing::TestDrives::pattern(kDiscBytes);
  for (const uint16_t limit : {uint16_t{2048}, uint16_t{4094}, uint16_t{0xfffe}}) {
    const auto data = packet({0x28, 0, 0, 0, 0, 5, 0, 0, 40}, limit);
    ASSERT_EQ(data.size(), 40u * 2048);
    EXPECT_TRUE(std::equal(data.begin(), data.end(), whole.begin() + 5 * 2048));
  }
}

TEST_F(AtaTest, the_disc_is_read_by_dma) {
  out(6, 0xb0);
  out(1, 1);
  out(7, ata::kPacket);
  write_data(std::vector<uint8_t>{0x28, 0, 0, 0, 0, 2, 0, 0, 4, 0, 0, 0});
  start_bus_master(8192, true);
  EXPECT_EQ(status(), 0x50);
  EXPECT_EQ(in(2), 3);
  std::vector<uint8_t> back(8192);
  world.memory.read(0x10000, back);
  const auto whole = testing::TestDrives::pattern(kDiscBytes);
  EXPECT_TRUE(std::equal(back.begin(), back.end(), whole.begin() + 2 * 2048));
}

TEST_F(AtaTest, raw_sectors_have_sync_and_header) {
  const auto data = packet({0xbe, 0, 0, 0, 0, 16, 0, 0, 1, 0xf8});
  ASSERT_EQ(data.size(), 2352u);
  EXPECT_EQ(data[1], 0xff);
  EXPECT_EQ(data[13], 0x02);  // 166 frames: 2 seconds, 16 frames
  EXPECT_EQ(data[14], 0x16);
}

TEST_F(AtaTest, failures_have_sense) {
  packet({0x28, 0, 0xff, 0, 0, 5, 0, 0, 1});
  EXPECT_EQ(in(7) & 1, 1);
  EXPECT_EQ(in(1) >> 4, 5);
  EXPECT_EQ(sense().code, 0x21);
  EXPECT_EQ(sense().key, 0);
  packet({0xf0});
  EXPECT_EQ(sense().code, 0x20);
}

TEST_F(AtaTest, the_tray_locks_opens_and_tells) {
  packet({0x1e, 0, 0, 0, 1});
  EXPECT_TRUE(disc_drive.locked());
  packet({0x1b, 0, 0, 0, 2});
  EXPECT_EQ(sense().code, 0x53);
  packet({0x1e, 0, 0, 0, 0});
  packet({0x1b, 0, 0, 0, 2});
  EXPECT_TRUE(disc_drive.tray_open());
  packet({0x00});
  const auto open = sense();
  EXPECT_EQ(open.key, 2);
  EXPECT_EQ(open.code, 0x3a);
  packet({0x1b, 0, 0, 0, 3});
  packet({0x00});
  EXPECT_EQ(sense().code, 0x28);  // may have changed
  packet({0x00});
  EXPECT_EQ(in(7) & 1, 0);
}

TEST_F(AtaTest, another_disc_is_noticed) {
  ASSERT_TRUE(disc_drive.eject(false));
  packet({0x00});
  EXPECT_EQ(sense().code, 0x3a);
  const auto event = packet({0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8});
  ASSERT_EQ(event.size(), 8u);
  EXPECT_EQ(event[4], 3);
  block::Medium medium;
  medium.image = std::make_shared<testing::MemoryImage>(std::vector<uint8_t>(4096));
  medium.read_only = true;
  ASSERT_TRUE(disc_drive.change(std::move(medium), false));
  packet({0x00});
  EXPECT_EQ(sense().code, 0x28);
  EXPECT_EQ(packet({0x25})[3], 1);
}

TEST_F(AtaTest, the_table_of_contents_has_one_data_track) {
  const auto toc = packet({0x43, 0, 0, 0, 0, 0, 0, 0, 32});
  ASSERT_EQ(toc.size(), 20u);
  EXPECT_EQ(toc[1], 18);
  EXPECT_EQ(toc[5], 0x14);
  EXPECT_EQ(toc[14], 0xaa);
}

}  // namespace
}  // namespace rhea::devices
