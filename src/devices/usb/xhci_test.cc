#include "devices/usb/xhci.h"

#include <gtest/gtest.h>

#include "async/fake_clock.h"
#include "base/endian.h"
#include "bus/pci/pci_bus.h"
#include "devices/usb/usb_keyboard.h"

namespace rhea::devices {
namespace {

using namespace xhci;

constexpr uint64_t kContexts = 0x1000, kCommands = 0x2000, kEventTable = 0x3000, kEvents = 0x4000,
                   kInput = 0x5000, kDevice = 0x6000, kControl = 0x7000, kReports = 0x8000, kData = 0x9000;

struct XhciTest : testing::Test, bus::IrqSink {
  XhciTest() {
    EXPECT_TRUE(memory.map_ram(Gpa{0}, *ram, 0, ram->size()));
    pci.attach(controller, bus::pci::devfn_of(2, 0));
    controller.reset(bus::ResetKind::Cold);
    controller.config_write(4, 2, 6);
  }
  void set_irq(unsigned, bool level) override { irq = level; }

  void write(uint64_t offset, uint64_t value, unsigned size = 4) {
    controller.registers().io_write(offset, size, value);
  }
  uint64_t read(uint64_t offset, unsigned size = 4) { return controller.registers().io_read(offset, size); }
  void put(uint64_t at, uint32_t value) { store_le<uint32_t>(ram->host() + at, value); }
  uint32_t get(uint64_t at) { return load_le<uint32_t>(ram->host() + at); }
  void block(uint64_t at, uint64_t parameter, uint32_t status, uint32_t control) {
    put(at, static_cast<uint32_t>(parameter));
    put(at + 4, static_cast<uint32_t>(parameter >> 32));
    put(at + 8, status);
    put(at + 12, control);
  }

  void start() {
    write(kOperational + 0x38, 8);
    write(kOperational + 0x30, kContexts, 8);
    write(kOperational + 0x18, kCommands | 1, 8);
    put(kEventTable, kEvents);
    put(kEventTable + 4, 0);
    put(kEventTable + 8, 64);
    write(kRuntime + 0x28, 1);
    write(kRuntime + 0x38, kEvents, 8);
    write(kRuntime + 0x30, kEventTable, 8);
    write(kRuntime + 0x20, 2);
    write(kOperational, kRun | kInterruptEnable);
  }
  struct Event {
    unsigned type, code, slot, endpoint, length;
    uint64_t parameter;
  };
  // The next event; type 0 when there is none.
  Event event() {
    uint64_t at = kEvents + uint64_t{events} * 16;
    uint32_t control = get(at + 12);
    if ((control & 1) == 0) return {};
    ++events;
    write(kRuntime + 0x38, (kEvents + uint64_t{events} * 16) | 8, 8);
    write(kRuntime + 0x20, 3);
    return {control >> 10 & 63, get(at + 8) >> 24,      control >> 24,
            control >> 16 & 31, get(at + 8) & 0xffffff, get(at) | uint64_t{get(at + 4)} << 32};
  }
  Event command(uint64_t parameter, unsigned type, unsigned slot, unsigned endpoint = 0, uint32_t more = 0) {
    block(kCommands + uint64_t{commands++} * 16, parameter, 0,
          slot << 24 | endpoint << 16 | type << 10 | more | 1);
    write(kDoorbells, 0);
    Event got = event();
    while (got.type == kPortStatusChange) got = event();
    return got;
  }
  // Enumerates what is in port 1 as a driver does.
  void address() {
    write(kPortRegisters, kPower | kPortReset);
    ASSERT_EQ(command(0, kEnableSlot, 0).slot, 1u);
    put(kContexts + 8, kDevice);
    put(kInput + 4, 3);
    put(kInput + 32, 1u << 27);
    put(kInput + 36, 1u << 16);
    put(kInput + 64 + 4, 4 << 3 | 3 << 1 | 64u << 16);
    put(kInput + 64 + 8, kControl | 1);
    ASSERT_EQ(command(kInput, kAddressDevice, 1).code, kSuccess);
  }
  Event control(uint64_t setup, unsigned length, bool in) {
    block(kControl + uint64_t{controls++} * 16, setup, 8, 2 << 10 | kImmediateData | 1);
    if (length != 0) {
      block(kControl + uint64_t{controls++} * 16, kData, length, 3 << 10 | (in ? kDirectionIn : 0) | 1);
    }
    block(kControl + uint64_t{controls++} * 16, 0, 0,
          4 << 10 | (in && length != 0 ? 0 : kDirectionIn) | kInterruptOnCompletion | 1);
    write(kDoorbells + 4, 1);
    return event();
  }

  std::recursive_mutex lock;
  memory::AddressSpace memory{"memory", lock};
  memory::AddressSpace ports{"ports", lock};
  std::unique_ptr<memory::RamBlock> ram = *memory::RamBlock::create("ram", 0x100000);
  async::FakeClock clock;
  bus::pci::PciBus pci{{.memory = memory, .ports = ports, .intx = this}};
  display::InputHub hub;
  bool irq = false;
  unsigned events = 0, commands = 0, controls = 0;
  Xhci controller{{.clock = clock}};
};

TEST_F(XhciTest, plugging_in_is_told) {
  start();
  UsbKeyboard keyboard({.clock = clock, .hub = &hub});
  controller.usb_bus().ports()[0]->attach(keyboard);
  EXPECT_TRUE(irq);
  Event change = event();
  EXPECT_EQ(change.type, unsigned{kPortStatusChange});
  EXPECT_EQ(change.parameter, 1u << 24);
  EXPECT_FALSE(irq);
  EXPECT_EQ(read(kPortRegisters) & (kConnected | kPortEnabled | kConnectChange), kConnected | kConnectChange);
  write(kPortRegisters, kPower | kPortReset);
  EXPECT_EQ(event().type, unsigned{kPortStatusChange});
  EXPECT_EQ(read(kPortRegisters) & (kPortEnabled | kSpeedField), kPortEnabled | 3u << 10);
}

TEST_F(XhciTest, a_device_is_enumerated_and_polled) {
  UsbKeyboard keyboard({.clock = clock, .hub = &hub});
  controller.usb_bus().ports()[0]->attach(keyboard);
  start();
  address();
  EXPECT_EQ(keyboard.address(), 1);
  EXPECT_EQ(get(kDevice + 12) >> 27, unsigned{kSlotAddressed});
  ASSERT_EQ(control(0x0012000001000680, 18, true).code, kSuccess);
  EXPECT_EQ(ram->host()[kData + 8], 0x27);
  ASSERT_EQ(control(0x0000000000010900, 0, false).code, kSuccess);
  EXPECT_TRUE(keyboard.configured());

  put(kInput, 0);
  put(kInput + 4, 1 | 1 << 3);
  put(kInput + 32, 3u << 27);
  put(kInput + 4 * 32 + 4, 7 << 3 | 8u << 16);
  put(kInput + 4 * 32 + 8, kReports | 1);
  ASSERT_EQ(command(kInput, kConfigureEndpoint, 1).code, kSuccess);
  EXPECT_EQ(get(kDevice + 12) >> 27, unsigned{kSlotConfigured});
  block(kReports, kData, 64, 1 << 10 | kInterruptOnCompletion | kInterruptOnShort | 1);
  write(kDoorbells + 4, 3);
  EXPECT_EQ(event().type, 0u) << "nothing typed";
  hub.key(display::Key::B, true);
  clock.advance(1);
  Event report = event();
  EXPECT_EQ(report.type, unsigned{kTransferEvent});
  EXPECT_EQ(report.code, unsigned{kShortPacket});
  EXPECT_EQ(report.length, 56u);
  EXPECT_EQ(ram->host()[kData + 2], 5);
}

TEST_F(XhciTest, a_stall_halts_until_the_driver_resets) {
  UsbKeyboard keyboard({.clock = clock, .hub = &hub});
  controller.usb_bus().ports()[0]->attach(keyboard);
  start();
  address();
  EXPECT_EQ(control(0x00ff000003090680, 255, true).code, kStallError);  // no such string
  EXPECT_EQ(get(kDevice + 32) & 7, unsigned{kEndpointHalted});
  EXPECT_EQ(command(0, kStopEndpoint, 1, 1).code, kContextStateError);
  EXPECT_EQ(command(0, kResetEndpoint, 1, 1).code, kSuccess);
  EXPECT_EQ(command((kControl + uint64_t{controls} * 16) | 1, kSetDequeue, 1, 1).code, kSuccess);
  EXPECT_EQ(control(0x0012000001000680, 18, true).code, kSuccess);
}

TEST_F(XhciTest, commands_for_slots_that_are_not_there_fail) {
  start();
  for (unsigned type : {kDisableSlot, kAddressDevice, kConfigureEndpoint, kEvaluateContext, kResetDevice}) {
    EXPECT_EQ(command(kInput, type, 3).code, kSlotNotEnabled);
    EXPECT_EQ(command(kInput, type, 255).code, kSlotNotEnabled);
  }
  EXPECT_EQ(command(0, 63, 0).code, kTrbError);
}

TEST_F(XhciTest, rings_that_lead_nowhere_stop) {
  start();
  block(kCommands, kCommands, 0, kLink << 10 | 1);  // a link to itself
  write(kDoorbells, 0);
  EXPECT_EQ(event().type, 0u);
  write(kOperational, 0);
  write(kOperational + 0x18, 0xfffffffff000 | 1, 8);
  write(kOperational, kRun);
  write(kDoorbells, 0);
  EXPECT_NE(read(kOperational + 4) & kSystemError, 0u);
}

}  // namespace
}  // namespace rhea::devices
