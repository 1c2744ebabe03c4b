// pc-testdev, pci-testdev, edu and the debug ports.
#include <gtest/gtest.h>

#include <map>
#include <mutex>
#include <string>

#include "async/fake_clock.h"
#include "bus/pci/pci_bus.h"
#include "devices/misc/debug_ports.h"
#include "devices/misc/edu.h"
#include "devices/misc/pc_testdev.h"
#include "devices/misc/pci_testdev.h"

namespace rhea::devices {
namespace {

struct Lines : bus::IrqSink {
  std::map<unsigned, bool> level;
  void set_irq(unsigned pin, bool on) override { level[pin] = on; }
};

class TestDevices : public testing::Test {
 protected:
  TestDevices() {
    ram = *memory::RamBlock::create("ram", 0x10000);
    EXPECT_TRUE(memory.map_ram(Gpa{0}, *ram, 0, ram->size()));
  }
  void plug(bus::pci::PciFunction& function) {
    bus.attach(function, bus::pci::devfn_of(3, 0));
    function.config_write(0x10, 4, 0xe0000000);
    function.config_write(0x14, 4, 0xc000);
    function.config_write(4, 2, 7);
  }
  std::recursive_mutex lock;
  memory::AddressSpace memory{"memory", lock};
  memory::AddressSpace ports{"ports", lock};
  std::unique_ptr<memory::RamBlock> ram;
  async::FakeClock clock;
  Lines lines;
  bus::pci::PciBus bus{{.memory = memory, .ports = ports, .intx = &lines}};
};

TEST_F(TestDevices, edu_checks_liveness_and_computes) {
  Edu edu({.clock = clock});
  plug(edu);
  EXPECT_EQ(memory.load(0xe0000000, 4), 0x010000edu);
  memory.store(0xe0000004, 4, 0x12345678);
  EXPECT_EQ(memory.load(0xe0000004, 4), 0xedcba987u);
  memory.store(0xe0000020, 4, 0x80);
  memory.store(0xe0000008, 4, 10);
  EXPECT_EQ(memory.load(0xe0000008, 4), 3628800u);
  EXPECT_TRUE(lines.level[2]);
  EXPECT_EQ(memory.load(0xe0000024, 4), 1u);
  memory.store(0xe0000064, 4, 1);
  EXPECT_FALSE(lines.level[2]);
  memory.store(0xe0000008, 4, 0xffffffff);
  EXPECT_EQ(memory.load(0xe0000008, 4), 0u);
}

TEST_F(TestDevices, edu_moves_data_both_ways_and_stays_in_its_buffer) {
  Edu edu({.clock = clock});
  plug(edu);
  memory.store(0x1000, 8, 0x1122334455667788);
  memory.store(0xe0000080, 8, 0x1000);
  memory.store(0xe0000088, 8, 0x40010);
  memory.store(0xe0000090, 8, 8);
  memory.store(0xe0000098, 8, 1);
  EXPECT_EQ(memory.load(0xe0000098, 8), 1u);
  clock.advance(100'000);
  EXPECT_EQ(memory.load(0xe0000098, 8), 0u);
  memory.store(0xe0000080, 8, 0x40010);
  memory.store(0xe0000088, 8, 0x2000);
  memory.store(0xe0000098, 8, 7);
  clock.advance(100'000);
  EXPECT_EQ(memory.load(0x2000, 8), 0x1122334455667788u);
  EXPECT_EQ(memory.load(0xe0000024, 4), 0x100u);
  memory.store(0xe0000080, 8, 0x40ff9);
  memory.store(0xe0000098, 8, 3);
  clock.advance(100'000);
  memory.store(0xe0000090, 8, ~uint64_t{0});
  memory.store(0xe0000098, 8, 3);
  clock.advance(100'000);
  EXPECT_EQ(memory.load(0x2008, 8), 0u);
}

TEST_F(TestDevices, pci_testdev_counts_the_writes_its_header_asks_for) {
  PciTestDevice dev(0x100000);
  plug(dev);
  memory.store(0xe0000000, 1, 2);
  ASSERT_EQ(memory.load(0xe0000001, 1), 1u);
  const uint64_t offset = memory.load(0xe0000004, 4);
  const uint64_t data = memory.load(0xe0000008, 4);
  memory.store(0xe0000000 + offset, 1, data);
  memory.store(0xe0000000 + offset, 1, data + 1);
  EXPECT_EQ(memory.load(0xe000000c, 4), 1u);
  EXPECT_EQ(memory.load(0xe0000010, 4), 0x6f696d6du);
  ports.store(0xc000, 1, 0);
  EXPECT_EQ(ports.load(0xc001, 1), 1u);
  ports.store(0xc000, 1, 3);
  EXPECT_EQ(ports.load(0xc001, 1), 0u);
}

TEST_F(TestDevices, pc_testdev_drives_lines_and_keeps_what_is_written) {
  uint64_t flushed = 0;
  PcTestDevice dev({.gsi = &lines, .flush = [&](uint64_t address) { flushed = address; }});
  dev.io_write(PcTestDevice::kLines + 5, 1, 1);
  EXPECT_TRUE(lines.level[5]);
  dev.io_write(PcTestDevice::kScratch, 4, 0x11223344);
  EXPECT_EQ(dev.io_read(PcTestDevice::kScratch + 1, 2), 0x2233u);
  dev.io_write(PcTestDevice::kFlush, 4, 0x5000);
  EXPECT_EQ(flushed, 0x5000u);
  dev.io_write(PcTestDevice::kMemory + 0xfffc, 8, 0x0102030405060708);
  EXPECT_EQ(dev.io_read(PcTestDevice::kMemory + 0xfffc, 4), 0x05060708u);
}

TEST(DebugPorts, exit_status_is_odd) {
  int status = -1;
  DebugExit port({.exit = [&](int s) { status = s; }});
  port.io_write(0, 1, 0x10);
  EXPECT_EQ(status, 0x21);
}

TEST(DebugPorts, console_reads_its_signature) {
  DebugConsole port({});
  port.io_write(0, 1, 'x');
  EXPECT_EQ(port.io_read(0, 1), 0xe9u);
}

}  // namespace
}  // namespace rhea::devices
