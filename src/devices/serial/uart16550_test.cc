#include "devices/serial/uart16550.h"

#include <gtest/gtest.h>

#include <string>

#include "async/fake_clock.h"

namespace rhea::devices {
namespace {

struct Line : bus::IrqSink {
  bool level = false;
  void set_irq(unsigned, bool on) override { level = on; }
};

struct Terminal : chardev::Chardev {
  chardev::Frontend* front = nullptr;
  std::string out;
  size_t room = SIZE_MAX;
  int resumes = 0;
  void attach(chardev::Frontend* frontend) override { front = frontend; }
  size_t write(std::span<const uint8_t> bytes) override {
    const size_t n = std::min(room, bytes.size());
    room -= room == SIZE_MAX ? 0 : n;
    out.append(bytes.begin(), bytes.begin() + static_cast<long>(n));
    return n;
  }
  void resume_input() override { ++resumes; }
  void type(std::string_view text) {
    ASSERT_LE(text.size(), front->can_receive());
    front->receive({reinterpret_cast<const uint8_t*>(text.data()), text.size()});
  }
};

class UartTest : public testing::Test {
 protected:
  uint64_t get(uint64_t reg) { return uart.io_read(reg, 1); }
  void put(uint64_t reg, uint64_t value) { uart.io_write(reg, 1, value); }
  async::FakeClock clock;
  Line irq;
  Terminal terminal;
  Uart16550 uart{{.clock = clock, .irq = bus::IrqLine(irq, 0), .backend = &terminal}};
};

TEST_F(UartTest, sends_and_is_empty_at_once) {
  put(0, 'h');
  put(0, 'i');
  EXPECT_EQ(terminal.out, "hi");
  EXPECT_EQ(get(5), 0x60u);
}

TEST_F(UartTest, a_full_back_end_delays_the_empty_flag_and_its_interrupt) {
  put(2, 1);
  terminal.room = 1;
  put(1, 2);
  EXPECT_EQ(get(2) & 15, 2u);
  put(0, 'a');
  put(0, 'b');
  EXPECT_EQ(get(5) & 0x20, 0u);
  EXPECT_FALSE(irq.level);
  terminal.room = 5;
  terminal.front->output_ready();
  EXPECT_EQ(terminal.out, "ab");
  EXPECT_TRUE(irq.level);
}

TEST_F(UartTest, thr_interrupt_is_reset_by_reading_it) {
  put(1, 2);
  EXPECT_TRUE(irq.level);
  EXPECT_EQ(get(2), 0x02u);
  EXPECT_FALSE(irq.level);
  EXPECT_EQ(get(2), 0x01u);
  put(0, 'x');
  EXPECT_TRUE(irq.level);
}

TEST_F(UartTest, without_fifos_one_character_is_held) {
  put(1, 1);
  terminal.type("a");
  EXPECT_EQ(terminal.front->can_receive(), 0u);
  EXPECT_TRUE(irq.level);
  EXPECT_EQ(get(2), 0x04u);
  EXPECT_EQ(get(5) & 1, 1u);
  EXPECT_EQ(get(0), 'a');
  EXPECT_FALSE(irq.level);
  EXPECT_EQ(terminal.resumes, 1);
}

TEST_F(UartTest, fifo_interrupts_at_the_trigger_and_after_a_timeout) {
  put(2, 0x81);
  put(1, 1);
  terminal.type("1234567");
  EXPECT_FALSE(irq.level);
  clock.advance(10'000'000);
  EXPECT_EQ(get(2), 0xccu);
  get(0);
  EXPECT_FALSE(irq.level);
  terminal.type("89");
  EXPECT_EQ(get(2), 0xc4u);
}

TEST_F(UartTest, clearing_the_fifo_forgets_and_resumes_input) {
  put(2, 1);
  terminal.type("0123456789abcdef");
  EXPECT_EQ(terminal.front->can_receive(), 0u);
  put(2, 3);
  EXPECT_EQ(get(5) & 1, 0u);
  EXPECT_EQ(terminal.front->can_receive(), 16u);
}

TEST_F(UartTest, break_is_a_line_status_interrupt) {
  put(1, 4);
  terminal.front->receive_break();
  EXPECT_EQ(get(2) & 15, 6u);
  EXPECT_EQ(get(5) & 0x11, 0x11u);
  EXPECT_EQ(get(5) & 0x10, 0u);
  EXPECT_FALSE(irq.level);
}

TEST_F(UartTest, loopback_returns_data_and_modem_lines) {
  put(4, 0x1f);
  EXPECT_EQ(get(6) & 0xf0, 0xf0u);
  put(4, 0x1a);
  EXPECT_EQ(get(6) & 0xf0, 0x90u);
  put(0, 0x5a);
  EXPECT_EQ(get(0), 0x5au);
  put(0, 1);
  put(0, 2);
  EXPECT_EQ(get(5) & 2, 2u);
  EXPECT_EQ(terminal.out, "");
}

TEST_F(UartTest, modem_changes_interrupt) {
  get(6);
  put(1, 8);
  put(4, 0x10);
  EXPECT_TRUE(irq.level);
  EXPECT_EQ(get(2) & 15, 0u);
  EXPECT_EQ(get(6), 0x0bu);
  EXPECT_FALSE(irq.level);
}

TEST_F(UartTest, divisor_latch_hides_data_and_enable) {
  put(3, 0x83);
  put(0, 0x34);
  put(1, 0x12);
  EXPECT_EQ(get(0), 0x34u);
  EXPECT_EQ(get(1), 0x12u);
  put(3, 0x03);
  EXPECT_EQ(get(1), 0u);
  EXPECT_EQ(terminal.out, "");
}

}  // namespace
}  // namespace rhea::devices
