// A 16550A serial port: 16-byte FIFOs, all interrupt sources, modem lines, loopback and break reception.
//
// National Semiconductor PC16550D (June 1995), section 8. Sending takes no time as long as the back end takes
// the bytes. The interrupt is not gated by OUT2: boards differ there. Missing: sending breaks, parity and
// framing errors (no back end has them). Caller holds the machine lock.
#pragma once

#include <array>
#include <cstdint>
#include <memory>

#include "async/clock.h"
#include "bus/device.h"
#include "bus/irq.h"
#include "chardev/chardev.h"
#include "memory/io_handler.h"

namespace rhea::devices {

class Uart16550 final : public bus::Device, public memory::IoHandler, public chardev::Frontend {
 public:
  struct Wiring {
    async::Clock& clock;  // virtual
    bus::IrqLine irq;
    chardev::Chardev* backend = nullptr;
  };
  explicit Uart16550(const Wiring& wiring);
  ~Uart16550() override;

  std::string_view name() const override { return "serial"; }
  void reset(bus::ResetKind kind) override;
  void state(bus::StateVisitor& v) override;
  uint64_t io_read(uint64_t offset, unsigned size) override;
  void io_write(uint64_t offset, unsigned size, uint64_t value) override;
  memory::IoTraits io_traits() const override { return {.min = 1, .max = 1}; }

  size_t can_receive() override;
  void receive(std::span<const uint8_t> bytes) override;
  void receive_break() override;
  void output_ready() override;

 private:
  static constexpr unsigned kDepth = 16;
  // A ring of characters with the line status bits that came with each.
  struct Fifo {
    std::array<uint8_t, kDepth> data{};
    std::array<uint8_t, kDepth> flags{};
    uint8_t head = 0, count = 0;
    void clear() { head = count = 0; }
    void push(uint8_t byte, uint8_t flag);
    uint8_t pop();
    uint8_t& top_flags() { return flags[head]; }
    bool any_flags() const;
    void visit(bus::StateVisitor& v, std::string_view name);
  };

  bool fifos() const;
  unsigned capacity() const { return fifos() ? kDepth : 1; }
  unsigned trigger() const;
  int64_t character_ns() const;
  uint8_t read_data();
  uint8_t read_line_status();
  uint8_t line_status();
  uint8_t identify();
  void write_data(uint8_t value);
  void write_fifo_control(uint8_t value);
  void write_modem_control(uint8_t value);
  void take(uint8_t byte, uint8_t flags);
  void send();
  void set_modem_status(uint8_t lines);
  void room_made();
  void update();

  Wiring wiring_;
  std::unique_ptr<async::Timer> timeout_;
  Fifo rx_, tx_;
  uint16_t divisor_ = 12;
  uint8_t ier_ = 0, fcr_ = 0, lcr_ = 0, mcr_ = 0, lsr_ = 0, msr_ = 0, scratch_ = 0;
  bool thr_interrupt_ = false, timed_out_ = false;
};

}  // namespace rhea::devices
