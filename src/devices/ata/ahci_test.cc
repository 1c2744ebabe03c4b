#include "devices/ata/ahci.h"

#include <gtest/gtest.h>

#include "async/fake_clock.h"
#include "bus/pci/pci_bus.h"
#include "devices/ata/ata_disk.h"
#include "devices/ata/ata_regs.h"
#include "devices/ata/atapi_cdrom.h"
#include "devices/testing_drives.h"

namespace rhea::devices {
namespace {

using namespace ahci;

constexpr uint64_t kBar = 0xe0000000, kList = 0x10000, kFis = 0x11000, kTables = 0x20000, kData = 0x40000;
constexpr uint64_t kDiskBytes = 4 << 20;

// A controller with a disk on port 0 and a CD-ROM drive on port 1, and a driver.
class AhciTest : public ::testing::Test, private bus::IrqSink {
 protected:
  AhciTest() {
    EXPECT_TRUE(memory.map_ram(Gpa{0}, *ram, 0, ram->size()).has_value());
    bus.attach(*ahci, bus::pci::devfn_of(2, 0));
    disk->reset(bus::ResetKind::Cold);
    cdrom->reset(bus::ResetKind::Cold);
    ahci->port(0).plug(*disk, 0);
    ahci->port(1).plug(*cdrom, 0);
    ahci->reset(bus::ResetKind::Cold);
    ahci->config_write(0x24, 4, static_cast<uint32_t>(kBar));
    ahci->config_write(4, 2, 7);
    put(kControl, kInterruptEnable | kAhciEnable);
    for (unsigned p : {0u, 1u}) {
      port(p, kListBase, static_cast<uint32_t>(kList + 0x400 * p));
      port(p, kFisBase, static_cast<uint32_t>(kFis + 0x100 * p));
      port(p, kSataError, ~0u);
      port(p, kPortInterrupts, ~0u);
      port(p, kPortInterruptEnable, ~0u);
      port(p, kPortCommand, kFisEnable | kSpinUp | kPowerOn);
      port(p, kPortCommand, kFisEnable | kSpinUp | kPowerOn | kStart);
    }
    put(kInterrupts, ~0u);
  }
  ~AhciTest() override {
    ahci.reset();
    disk.reset();
    cdrom.reset();
  }
  void set_irq(unsigned, bool level) override { pin = level; }

  void put(unsigned reg, uint32_t value) { memory.store(kBar + reg, 4, value); }
  uint32_t get(unsigned reg) { return static_cast<uint32_t>(memory.load(kBar + reg, 4)); }
  void port(unsigned number, unsigned reg, uint32_t value) {
    put(kFirstPort + number * kPortBytes + reg, value);
  }
  uint32_t port(unsigned number, unsigned reg) { return get(kFirstPort + number * kPortBytes + reg); }

  struct Request {
    uint8_t command = 0;
    uint64_t lba = 0;
    uint32_t count = 1;
    uint32_t bytes = 512;
    bool write = false;
    unsigned slot = 0, number = 0;
    uint8_t feature = 0;
    std::vector<uint8_t> packet{};
  };
  void prepare(const Request& r) {
    const uint64_t table = kTables + r.slot * 0x400;
    const uint64_t header = kList + 0x400 * r.number + kHeaderBytes * r.slot;
    uint8_t* fis = ram->host() + table;
    std::fill_n(fis, 0x400, uint8_t{0});
    const bool queued = r.command == ata::kReadFpdma || r.command == ata::kWriteFpdma;
    fis[0] = kFisH2d;
    fis[1] = kFisIsCommand;
    fis[2] = r.command;
    fis[3] = queued ? static_cast<uint8_t>(r.count) : r.feature;
    for (unsigned i = 0; i < 3; ++i) fis[4 + i] = static_cast<uint8_t>(r.lba >> (8 * i));
    for (unsigned i = 0; i < 3; ++i) fis[8 + i] = static_cast<uint8_t>(r.lba >> (24 + 8 * i));
    fis[7] = 0x40;
    fis[11] = queued ? static_cast<uint8_t>(r.count >> 8) : uint8_t{0};
    fis[12] = static_cast<uint8_t>(queued ? r.slot << 3 : r.count);
    fis[13] = static_cast<uint8_t>(queued ? 0 : r.count >> 8);
    std::ranges::copy(r.packet, fis + kTablePacket);
    // Two regions, so that a transfer crosses from one to the next.
    const uint32_t first = std::min<uint32_t>(r.bytes, 256);
    put_region(table + kTablePrdt, kData, first);
    if (r.bytes > first) put_region(table + kTablePrdt + kPrdBytes, kData + first, r.bytes - first);
    store_le<uint32_t>(ram->host() + header, 5u | (r.write ? 0x40u : 0u) |
                                                 (r.bytes == 0      ? 0u
                                                  : r.bytes > first ? 2u
                                                                    : 1u)
                                                     << 16);
    store_le<uint32_t>(ram->host() + header + 4, 0);
    store_le<uint64_t>(ram->host() + header + 8, table);
  }
  void put_region(uint64_t at, uint64_t address, uint32_t bytes) {
    store_le<uint64_t>(ram->host() + at, address);
    store_le<uint32_t>(ram->host() + at + 12, bytes - 1);
  }
  // Issues one command and waits; the task file's status.
  uint8_t run(const Request& r) {
    prepare(r);
    const bool queued = r.command == ata::kReadFpdma || r.command == ata::kWriteFpdma;
    if (queued) port(r.number, kSataActive, 1u << r.slot);
    port(r.number, kCommandIssue, 1u << r.slot);
    drives.settle();
    return static_cast<uint8_t>(port(r.number, kTaskFile));
  }
  std::span<uint8_t> data(size_t bytes) { return {ram->host() + kData, bytes}; }
  std::vector<uint8_t> disk_bytes(uint64_t lba, size_t sectors) {
    const auto all = testing::TestDrives::pattern(kDiskBytes);
    const auto begin = all.begin() + static_cast<std::ptrdiff_t>(lba * 512);
    return {begin, begin + static_cast<std::ptrdiff_t>(sectors * 512)};
  }
  uint32_t moved(unsigned slot = 0, unsigned number = 0) {
    return load_le<uint32_t>(ram->host() + kList + 0x400 * number + kHeaderBytes * slot + 4);
  }

  std::recursive_mutex lock;
  std::unique_lock<std::recursive_mutex> hold{lock};
  bool pin = false;
  memory::AddressSpace memory{"memory", lock};
  memory::AddressSpace ports{"ports", lock};
  std::unique_ptr<memory::RamBlock> ram = *memory::RamBlock::create("ram", 0x400000);
  bus::pci::PciBus bus{{.memory = memory, .ports = ports, .intx = this}};
  async::FakeClock clock{0};
  testing::TestDrives drives{lock, clock};
  block::Drive& disk_drive = drives.add("disk", kDiskBytes, false, true);
  std::unique_ptr<Ahci> ahci = std::make_unique<Ahci>();
  std::unique_ptr<AtaDisk> disk = *AtaDisk::create(disk_drive, {.serial = "S1"});
  std::unique_ptr<AtapiCdrom> cdrom = *AtapiCdrom::create(drives.add("disc", 1 << 20, true), {});
};

TEST_F(AhciTest, ports_show_what_is_on_them) {
  EXPECT_EQ(get(kPortsImplemented), 0x3fu);
  EXPECT_EQ(port(0, kSignature), 0x00000101u);
  EXPECT_EQ(port(1, kSignature), 0xeb140101u);
  EXPECT_EQ(port(2, kSignature), kNoSignature);
  EXPECT_EQ(port(0, kSataStatus), kLinkUp);
  EXPECT_EQ(port(2, kSataStatus), 0u);
  EXPECT_EQ(port(0, kTaskFile) & 0xff, 0x50u);
  EXPECT_EQ(ram->host()[kFis + kReceiveD2h], kFisD2h);
}

TEST_F(AhciTest, identify_comes_by_pio) {
  EXPECT_EQ(run({.command = ata::kIdentify}), 0x50);
  EXPECT_EQ(load_le<uint16_t>(ram->host() + kData + 75 * 2), 31);
  EXPECT_NE(load_le<uint16_t>(ram->host() + kData + 76 * 2) & 0x100, 0);
  EXPECT_EQ(port(0, kCommandIssue), 0u);
  EXPECT_EQ(port(0, kPortInterrupts), kIntPioSetup);
  EXPECT_EQ(get(kInterrupts), 1u);
  EXPECT_TRUE(pin);
  EXPECT_EQ(moved(), 512u);
  port(0, kPortInterrupts, ~0u);
  EXPECT_TRUE(pin);
  put(kInterrupts, 1);
  EXPECT_FALSE(pin);
}

TEST_F(AhciTest, dma_reads_and_writes) {
  EXPECT_EQ(run({.command = ata::kReadDmaExt, .lba = 7, .count = 16, .bytes = 8192}), 0x50);
  EXPECT_TRUE(std::ranges::equal(data(8192), disk_bytes(7, 16)));
  EXPECT_EQ(moved(), 8192u);
  EXPECT_EQ(port(0, kPortInterrupts), kIntD2h);
  std::ranges::fill(data(1024), uint8_t{0xa5});
  EXPECT_EQ(run({.command = ata::kWriteDmaExt, .lba = 100, .count = 2, .bytes = 1024, .write = true}), 0x50);
  std::ranges::fill(data(1024), uint8_t{0});
  EXPECT_EQ(run({.command = ata::kReadDmaExt, .lba = 100, .count = 2, .bytes = 1024}), 0x50);
  EXPECT_EQ(data(1024)[1023], 0xa5);
}

TEST_F(AhciTest, pio_writes_take_many_blocks) {
  std::ranges::fill(data(4096), uint8_t{0x77});
  EXPECT_EQ(run({.command = ata::kWriteSectorsExt, .lba = 9, .count = 8, .bytes = 4096, .write = true}),
            0x50);
  std::ranges::fill(data(4096), uint8_t{0});
  EXPECT_EQ(run({.command = ata::kReadSectorsExt, .lba = 9, .count = 8, .bytes = 4096}), 0x50);
  EXPECT_EQ(data(4096)[4095], 0x77);
}

TEST_F(AhciTest, queued_commands_run_side_by_side) {
  for (unsigned slot = 0; slot < 8; ++slot)
    prepare({.command = ata::kReadFpdma, .lba = slot, .count = 1, .bytes = 0, .slot = slot});
  // Each has a page of its own.
  for (unsigned slot = 0; slot < 8; ++slot) {
    put_region(kTables + slot * 0x400 + kTablePrdt, kData + slot * 512, 512);
    store_le<uint32_t>(ram->host() + kList + kHeaderBytes * slot, 5u | 1u << 16);
  }
  port(0, kSataActive, 0xff);
  port(0, kCommandIssue, 0xff);
  EXPECT_EQ(port(0, kCommandIssue), 0u);
  EXPECT_EQ(port(0, kSataActive), 0xffu);
  drives.settle();
  EXPECT_EQ(port(0, kSataActive), 0u);
  EXPECT_TRUE(std::ranges::equal(data(8 * 512), disk_bytes(0, 8)));
  EXPECT_EQ(port(0, kPortInterrupts), kIntSetBits);
}

TEST_F(AhciTest, a_queued_error_stops_the_queue_and_is_in_the_log) {
  EXPECT_NE(run({.command = ata::kReadFpdma, .lba = kDiskBytes / 512, .slot = 3}) & ata::kStatusError, 0);
  EXPECT_EQ(port(0, kSataActive), 8u);
  EXPECT_NE(port(0, kPortInterrupts) & kIntTaskFile, 0u);
  // Nothing goes on until the engine was stopped.
  run({.command = ata::kReadDmaExt});
  EXPECT_EQ(port(0, kCommandIssue), 1u);
  port(0, kPortCommand, kFisEnable);
  EXPECT_EQ(port(0, kCommandIssue), 0u);
  EXPECT_EQ(port(0, kSataActive), 0u);
  port(0, kPortInterrupts, ~0u);
  port(0, kPortCommand, kFisEnable | kStart);
  EXPECT_EQ(run({.command = 0x2f, .lba = 0x10}), 0x50);
  EXPECT_EQ(data(512)[0], 3);
  EXPECT_EQ(data(512)[3], ata::kErrorNotFound);
  uint8_t sum = 0;
  for (uint8_t byte : data(512)) sum = static_cast<uint8_t>(sum + byte);
  EXPECT_EQ(sum, 0);
  EXPECT_EQ(run({.command = ata::kReadFpdma, .lba = 5}), 0x50);
}

TEST_F(AhciTest, other_commands_wait_for_the_queue) {
  prepare({.command = ata::kReadFpdma, .lba = 1, .slot = 0});
  prepare({.command = ata::kFlushExt, .bytes = 0, .slot = 1});
  port(0, kSataActive, 1);
  port(0, kCommandIssue, 3);
  EXPECT_EQ(port(0, kCommandIssue), 2u);
  drives.settle();
  EXPECT_EQ(port(0, kCommandIssue), 0u);
  EXPECT_EQ(port(0, kPortInterrupts), kIntSetBits | kIntD2h);
}

TEST_F(AhciTest, packets_by_pio_and_dma) {
  Request inquiry{.command = ata::kPacket, .lba = 0xfffe00, .count = 0, .bytes = 36, .number = 1};
  inquiry.packet = {0x12, 0, 0, 0, 36, 0, 0, 0, 0, 0, 0, 0};
  EXPECT_EQ(run(inquiry), 0x50);
  EXPECT_EQ(data(36)[0], 5);
  inquiry.feature = 1;
  data(36)[0] = 0;
  EXPECT_EQ(run(inquiry), 0x50);
  EXPECT_EQ(data(36)[0], 5);
  EXPECT_EQ(moved(0, 1), 36u);
}

TEST_F(AhciTest, a_command_that_fails_raises_the_task_file_interrupt) {
  EXPECT_NE(run({.command = ata::kReadDmaExt, .lba = kDiskBytes / 512}) & ata::kStatusError, 0);
  EXPECT_EQ(port(0, kPortInterrupts), kIntD2h | kIntTaskFile);
  EXPECT_EQ(port(0, kTaskFile) >> 8, ata::kErrorNotFound);
}

TEST_F(AhciTest, a_list_that_is_no_ram_is_a_bus_error) {
  port(0, kListBaseUpper, 1);
  port(0, kCommandIssue, 1);
  EXPECT_NE(port(0, kPortInterrupts) & kIntHostBus, 0u);
}

TEST_F(AhciTest, data_that_is_no_ram_fails_the_command) {
  prepare({.command = ata::kReadDmaExt, .lba = 0, .count = 1});
  put_region(kTables + kTablePrdt, kBar, 512);
  port(0, kCommandIssue, 1);
  drives.settle();
  EXPECT_NE(port(0, kPortInterrupts) & kIntHostBus, 0u);
  EXPECT_NE(port(0, kTaskFile) & ata::kStatusError, 0u);
}

TEST_F(AhciTest, resets_bring_the_signature_back) {
  run({.command = ata::kReadDmaExt, .lba = kDiskBytes / 512});
  port(0, kSataControl, 1);
  EXPECT_EQ(port(0, kSataStatus), 0u);
  port(0, kSataControl, 0);
  EXPECT_EQ(port(0, kSataStatus), kLinkUp);
  EXPECT_EQ(port(0, kSignature), 0x101u);
  EXPECT_EQ(port(0, kTaskFile), 0x150u);
  EXPECT_NE(port(0, kPortInterrupts) & kIntConnect, 0u);
  put(kControl, kHbaReset);
  EXPECT_EQ(get(kControl), kAhciEnable);
  EXPECT_EQ(port(0, kSignature), 0x101u);
  EXPECT_EQ(port(0, kPortCommand) & kStart, 0u);
}

TEST_F(AhciTest, a_soft_reset_takes_two_fises) {
  for (uint8_t control : {uint8_t{4}, uint8_t{0}}) {
    prepare({.bytes = 0});
    ram->host()[kTables + 1] = 0;
    ram->host()[kTables + 15] = control;
    port(0, kCommandIssue, 1);
    EXPECT_EQ(port(0, kCommandIssue), 0u);
    EXPECT_EQ(port(0, kTaskFile) & 0xff, control != 0 ? 0x80u : 0x50u);
  }
  EXPECT_EQ(run({.command = ata::kIdentify}), 0x50);
}

TEST_F(AhciTest, a_stopped_engine_forgets_what_is_under_way) {
  prepare({.command = ata::kReadDmaExt, .lba = 0, .count = 1});
  std::ranges::fill(data(512), uint8_t{0xee});
  port(0, kCommandIssue, 1);
  port(0, kPortCommand, kFisEnable);
  drives.settle();
  EXPECT_EQ(data(512)[0], 0xee);
  EXPECT_EQ(port(0, kPortInterrupts), 0u);
  port(0, kPortCommand, kFisEnable | kStart);
  EXPECT_EQ(run({.command = ata::kReadDmaExt, .lba = 1}), 0x50);
}

TEST_F(AhciTest, the_index_ports_reach_the_registers) {
  ahci->config_write(0x20, 4, 0xc000);
  ports.store(0xc010, 4, kPortsImplemented);
  EXPECT_EQ(ports.load(0xc014, 4), 0x3fu);
}

}  // namespace
}  // namespace rhea::devices
