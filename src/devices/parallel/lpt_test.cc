#include "devices/parallel/lpt.h"

#include <gtest/gtest.h>

namespace rhea::devices {
namespace {

struct Printer final : chardev::Chardev {
  void attach(chardev::Frontend*) override {}
  size_t write(std::span<const uint8_t> bytes) override {
    if (full) return 0;
    text.append(bytes.begin(), bytes.end());
    return bytes.size();
  }
  void resume_input() override {}
  std::string text;
  bool full = false;
};

struct Counter final : bus::IrqSink {
  void set_irq(unsigned, bool level) override { pulses += level; }
  int pulses = 0;
};

struct LptTest : testing::Test {
  void send(char c) {
    lpt.io_write(0, 1, static_cast<uint8_t>(c));
    lpt.io_write(2, 1, 0x1d);
    lpt.io_write(2, 1, 0x1c);
  }
  Printer printer;
  Counter irq;
  Lpt lpt{{.irq = bus::IrqLine(irq, 7), .backend = &printer}};
};

TEST_F(LptTest, strobe_prints_and_acknowledges) {
  send('h');
  send('i');
  EXPECT_EQ(printer.text, "hi");
  EXPECT_EQ(irq.pulses, 2);
  EXPECT_EQ(lpt.io_read(1, 1) & 0xf8, 0xd8u);
}

TEST_F(LptTest, printer_is_busy_while_the_back_end_takes_nothing) {
  printer.full = true;
  send('a');
  EXPECT_EQ(lpt.io_read(1, 1) & 0x80, 0u);
  send('b');  // lost, as on a real one
  printer.full = false;
  lpt.output_ready();
  EXPECT_EQ(lpt.io_read(1, 1) & 0x80, 0x80u);
  EXPECT_EQ(irq.pulses, 1);
}

TEST_F(LptTest, registers_read_back) {
  lpt.io_write(0, 1, 0x5a);
  EXPECT_EQ(lpt.io_read(0, 1), 0x5au);
  lpt.io_write(2, 1, 0x2c);
  EXPECT_EQ(lpt.io_read(0, 1), 0xffu);
  EXPECT_EQ(lpt.io_read(2, 1), 0xecu);
}

}  // namespace
}  // namespace rhea::devices
