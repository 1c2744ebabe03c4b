#include "devices/usb/ehci.h"

#include <gtest/gtest.h>

#include "async/fake_clock.h"
#include "base/endian.h"
#include "bus/pci/pci_bus.h"
#include "devices/usb/ehci_regs.h"
#include "devices/usb/uhci.h"
#include "devices/usb/usb_hub.h"
#include "devices/usb/usb_storage.h"

namespace rhea::devices {
namespace {

using namespace ehci;

constexpr uint32_t kHead = 0x1000, kWork = 0x1100, kTransfers = 0x2000, kSetupAt = 0x3000, kData = 0x4000;

struct EhciTest : ::testing::Test, bus::IrqSink {
  EhciTest() {
    EXPECT_TRUE(memory.map_ram(Gpa{0}, *ram, 0, ram->size()));
    pci.attach(ehci, bus::pci::devfn_of(4, 0));
    ehci.reset(bus::ResetKind::Cold);
    ehci.config_write(4, 2, 6);  // memory, bus master
    ehci.usb_bus().ports()[2]->attach(disk);
  }
  void set_irq(unsigned, bool level) override { irq = level; }
  void put(uint32_t at, uint32_t value) { store_le<uint32_t>(ram->host() + at, value); }
  uint32_t get(uint32_t at) { return load_le<uint32_t>(ram->host() + at); }
  uint32_t port() { return static_cast<uint32_t>(ehci.io_read(kPort0 + 8, 4)); }

  // As a driver starts: the ring has the head of reclamation and one queue for work.
  void start() {
    for (const uint32_t at : {kHead, kWork}) {
      for (uint32_t i = 0; i < 48; i += 4) put(at + i, 0);
      put(at + 16, 1);
      put(at + 20, 1);
    }
    put(kHead, kWork | kTypeQueue);
    put(kHead + 4, 0x8000 | 2u << 12);
    put(kHead + 24, kStopped);
    put(kWork, kHead | kTypeQueue);
    ehci.io_write(kConfigFlag, 4, 1);
    ehci.io_write(kInterruptEnable, 4, 0x3f);
    ehci.io_write(kPort0 + 8, 4, kPower | kReset);
    ehci.io_write(kPort0 + 8, 4, kPower);
    ehci.io_write(kAsyncList, 4, kHead);
    ehci.io_write(kCommand, 4, kRun | kAsyncEnable | kDefaultThreshold);
  }
  void queue(unsigned address, unsigned endpoint, unsigned packet) {
    put(kWork + 4, packet << 16 | kToggleControl | 2u << 12 | endpoint << 8 | address);
  }
  void transfer(unsigned index, uint32_t pid, uint32_t buffer, uint32_t length, bool last) {
    const uint32_t at = kTransfers + index * 32;
    put(at, last ? 1 : at + 32);
    put(at + 4, 1);
    put(at + 8, length << 16 | (last ? kOnComplete : 0) | 3u << 10 | pid << 8 | kActive);
    for (uint32_t page = 0; page < 5; ++page)
      put(at + 12 + page * 4, page == 0 ? buffer : (buffer & ~0xfffu) + page * 4096);
  }
  void go() {
    put(kWork + 16, kTransfers);
    put(kWork + 24, 0);
    clock.advance(5'000'000);
  }
  // Bytes that came, or nothing after a stall.
  std::optional<uint32_t> control(unsigned address, std::array<uint8_t, 8> setup, uint32_t length) {
    std::copy(setup.begin(), setup.end(), ram->host() + kSetupAt);
    queue(address, 0, 64);
    transfer(0, kPidSetup, kSetupAt, 8, false);
    if (length != 0) transfer(1, kPidIn, kData, length, false);
    transfer(length != 0 ? 2 : 1, length != 0 ? kPidOut : kPidIn, 0, 0, true);
    go();
    if ((get(kWork + 24) & kStopped) != 0) return std::nullopt;
    return length == 0 ? 0 : length - (get(kTransfers + 40) >> 16 & 0x7fff);
  }

  std::recursive_mutex lock;
  memory::AddressSpace memory{"memory", lock};
  memory::AddressSpace ports{"ports", lock};
  std::unique_ptr<memory::RamBlock> ram = *memory::RamBlock::create("ram", 0x100000);
  async::FakeClock clock;
  bus::pci::PciBus pci{{.memory = memory, .ports = ports, .intx = this}};
  bool irq = false;
  Ehci ehci{{.clock = clock}};
  UsbStorage disk{{}};
};

TEST_F(EhciTest, a_port_enables_after_a_reset) {
  EXPECT_EQ(port(), kPower | kConnected | kConnectChange | kLineJ);
  ehci.io_write(kPort0 + 8, 4, kPower | kConnectChange | kReset);
  EXPECT_EQ(port(), kPower | kConnected | kReset | kLineJ);
  ehci.io_write(kPort0 + 8, 4, kPower);
  EXPECT_EQ(port(), kPower | kConnected | kEnabled);
  ehci.usb_bus().ports()[2]->detach();
  EXPECT_EQ(port(), kPower | kConnectChange | kEnableChange);
}

TEST_F(EhciTest, a_disk_is_enumerated) {
  start();
  EXPECT_EQ(control(0, {0x80, 6, 0, 1, 0, 0, 64, 0}, 64), 18u);
  EXPECT_EQ(load_le<uint16_t>(ram->host() + kData + 8), 0x46f4);
  EXPECT_TRUE(irq);
  EXPECT_EQ(ehci.io_read(kStatus, 4) & 3, 1u);
  ehci.io_write(kStatus, 4, 0x3f);
  EXPECT_FALSE(irq);
  EXPECT_EQ(control(0, {0, 5, 7, 0, 0, 0, 0, 0}, 0), 0u);
  EXPECT_EQ(disk.address(), 7);
  EXPECT_EQ(control(7, {0, 9, 1, 0, 0, 0, 0, 0}, 0), 0u);
  EXPECT_TRUE(disk.configured());
  EXPECT_EQ(control(7, {0xa1, 0xfe, 0, 0, 0, 0, 1, 0}, 1), 1u);
  EXPECT_EQ(control(7, {0x80, 6, 0, 9, 0, 0, 8, 0}, 8), std::nullopt) << "no such descriptor";
}

TEST_F(EhciTest, bulk_transfers_go_both_ways) {
  start();
  ASSERT_EQ(control(0, {0, 9, 1, 0, 0, 0, 0, 0}, 0), 0u);
  const std::array<uint8_t, 31> inquiry{'U', 'S', 'B',  'C', 9, 0,    0, 0, 36, 0,
                                        0,   0,   0x80, 0,   6, 0x12, 0, 0, 0,  36};
  std::copy(inquiry.begin(), inquiry.end(), ram->host() + kSetupAt);
  queue(0, 2, 512);
  transfer(0, kPidOut, kSetupAt, 31, true);
  go();
  EXPECT_EQ(get(kTransfers + 8) & (kActive | kStopped), 0u);
  queue(0, 1, 512);
  transfer(0, kPidIn, kData + 0xff0, 36, false);  // over a page's end
  transfer(1, kPidIn, kData + 0x2000, 512, true);
  go();
  EXPECT_EQ(std::string(ram->host() + kData + 0xff0 + 8, ram->host() + kData + 0xff0 + 12), "QEMU");
  EXPECT_EQ(get(kTransfers + 40) >> 16 & 0x7fff, 512u - 13);
  EXPECT_EQ(load_le<uint32_t>(ram->host() + kData + 0x2000), 0x53425355u);
}

TEST_F(EhciTest, a_companion_has_what_does_not_run_at_high_speed) {
  Uhci uhci({.clock = clock});
  pci.attach(uhci, bus::pci::devfn_of(4, 1));
  uhci.reset(bus::ResetKind::Cold);
  ASSERT_TRUE(ehci.add_companion(2, uhci.usb_bus().ports()));
  EXPECT_FALSE(ehci.add_companion(5, uhci.usb_bus().ports()));
  const auto& shared = *ehci.usb_bus().ports()[2];
  EXPECT_EQ(uhci.usb_bus().ports()[0]->device(), &disk) << "until the driver of EHCI comes";
  EXPECT_FALSE(shared.free());
  EXPECT_EQ(disk.port()->path(), "3");
  EXPECT_EQ(port(), kPower | kOwner | kConnectChange);
  ehci.io_write(kConfigFlag, 4, 1);
  EXPECT_EQ(shared.device(), &disk);
  EXPECT_EQ(disk.speed(), bus::usb::Speed::High);
  UsbHub hub;
  ehci.usb_bus().ports()[3]->attach(hub);
  ehci.io_write(kPort0 + 12, 4, kPower | kReset);
  ehci.io_write(kPort0 + 12, 4, kPower);
  EXPECT_EQ(ehci.io_read(kPort0 + 12, 4) & kEnabled, 0u);
  ehci.io_write(kPort0 + 12, 4, kPower | kOwner);
  EXPECT_EQ(uhci.usb_bus().ports()[1]->device(), &hub);
  EXPECT_EQ(uhci.io_read(18, 2) & 1, 1u);
}

TEST_F(EhciTest, the_doorbell_answers) {
  start();
  ehci.io_write(kStatus, 4, 0x3f);
  ehci.io_write(kCommand, 4, kRun | kAsyncEnable | kDoorbell | kDefaultThreshold);
  clock.advance(1'000'000);
  EXPECT_EQ(ehci.io_read(kCommand, 4) & kDoorbell, 0u);
  EXPECT_NE(ehci.io_read(kStatus, 4) & kAsyncAdvance, 0u);
  EXPECT_TRUE(irq);
}

TEST_F(EhciTest, rings_and_lists_that_never_end_do_no_harm) {
  start();
  put(kWork, kWork | kTypeQueue);
  put(kTransfers, kTransfers);
  transfer(0, kPidIn, kData, 512, false);
  put(kTransfers, kTransfers);
  for (uint32_t i = 0; i < 1024; ++i) put(0x8000 + i * 4, 0x9000);
  put(0x9000, 0x9000);
  ehci.io_write(kPeriodicList, 4, 0x8000);
  ehci.io_write(kCommand, 4, kRun | kAsyncEnable | kPeriodicEnable);
  go();
  EXPECT_EQ(ehci.io_read(kFrameIndex, 4) % 8, 0u);
  ehci.io_write(kAsyncList, 4, 0xfffff000);
  clock.advance(2'000'000);
  EXPECT_NE(ehci.io_read(kStatus, 4) & kSystemError, 0u);
}

}  // namespace
}  // namespace rhea::devices
