#include "devices/input/vmport.h"

#include <gtest/gtest.h>

namespace rhea::devices {
namespace {

struct VmPortTest : testing::Test {
  uint64_t ask(uint16_t command, uint64_t ebx) {
    registers[0] = 0x564d5868;
    registers[1] = command;
    registers[3] = ebx;
    return registers[0] = port.io_read(0, 4);
  }
  uint64_t registers[16] = {};
  int signals = 0;
  display::InputHub hub;
  VmPort port{{.registers = [this] { return registers; },
               .signal = [this] { ++signals; },
               .input = &hub,
               .ram_bytes = 1 << 20}};
};

TEST_F(VmPortTest, answers_only_who_knows_the_word) {
  EXPECT_EQ(ask(10, 0), 6u);
  EXPECT_EQ(registers[3], 0x564d5868u);
  registers[0] = 1;
  EXPECT_EQ(port.io_read(0, 4), 0xffffffffu);
}

TEST_F(VmPortTest, a_driver_gets_places) {
  ask(41, 0x45414552);
  EXPECT_EQ(ask(40, 0), 1u);
  EXPECT_EQ(ask(39, 1), 0x3442554au);
  EXPECT_FALSE(hub.wants_places());
  ask(41, 0x53424152);
  EXPECT_TRUE(hub.wants_places());
  hub.pointer_absolute(0x4000, display::kMaxPlace);
  hub.wheel(-1);
  hub.sync();
  EXPECT_EQ(signals, 1);
  EXPECT_EQ(ask(40, 0), 4u);
  EXPECT_EQ(ask(39, 4), 0u);
  EXPECT_EQ(registers[3], 0x8000u);
  EXPECT_EQ(registers[1], 0xfffeu);
  EXPECT_EQ(registers[2], 0xffffffffu);
  hub.button(display::Button::Left, true);
  hub.sync();
  EXPECT_EQ(ask(39, 4), 0x20u);
  ask(41, 0x4c455252);
  EXPECT_FALSE(hub.wants_places());
}

TEST_F(VmPortTest, too_many_words_are_an_error_until_enabled_again) {
  ask(41, 0x45414552);
  ask(39, 7);
  EXPECT_EQ(ask(40, 0), 0xffff0000u);
  ask(41, 0x45414552);
  EXPECT_EQ(ask(40, 0), 1u);
}

TEST_F(VmPortTest, a_guest_that_does_not_read_loses_events) {
  ask(41, 0x45414552);
  ask(41, 0x53424152);
  for (int i = 0; i < 1000; ++i) {
    hub.pointer_absolute(i, i);
    hub.sync();
  }
  EXPECT_EQ(ask(40, 0), 1021u);
  port.reset(bus::ResetKind::Cold);
  EXPECT_FALSE(hub.wants_places());
}

}  // namespace
}  // namespace rhea::devices
