// The keyboard controller of a PC AT: a keyboard on its first port and a mouse on its second, with the output
// port that holds the A20 gate and the processor's reset line. Handler offsets: 0 data (port 0x60), 1 command
// and status (0x64).
//
// Intel 8042 as programmed in the IBM PC AT (Technical Reference 6280070, keyboard controller) and PS/2
// (Hardware Interface Technical Reference): commands, status, output port. Key codes are translated from set
// 2 to set 1. Caller holds the machine lock.
#pragma once

#include <array>
#include <cstdint>
#include <functional>

#include "bus/device.h"
#include "bus/irq.h"
#include "devices/input/at_keyboard.h"
#include "devices/input/ps2_mouse.h"
#include "memory/io_handler.h"

namespace rhea::devices {

class I8042 final : public bus::Device, public memory::IoHandler {
 public:
  struct Wiring {
    bus::IrqLine irq1;   // keyboard
    bus::IrqLine irq12;  // mouse
    std::function<void(bool enabled)> a20;
    std::function<void()> reset;
    display::InputHub* input = nullptr;  // who types and moves; null: nobody
  };
  explicit I8042(Wiring wiring);

  std::string_view name() const override { return "i8042"; }
  void reset(bus::ResetKind kind) override;
  void state(bus::StateVisitor& v) override;
  uint64_t io_read(uint64_t offset, unsigned size) override;
  void io_write(uint64_t offset, unsigned size, uint64_t value) override;
  memory::IoTraits io_traits() const override { return {.min = 1, .max = 1}; }

  AtKeyboard& keyboard() { return keyboard_; }
  Ps2Mouse& mouse() { return mouse_; }

 private:
  enum class Source : uint8_t { None, Controller, ControllerAux, Keyboard, Mouse };

  void command(uint8_t byte);
  void command_argument(uint8_t byte);
  void answer(uint8_t byte, Source as = Source::Controller);
  void write_output_port(uint8_t value);
  uint8_t status() const;
  uint8_t read_data();
  uint8_t translate(uint8_t code);
  void pump();
  void drive();

  Wiring wiring_;
  AtKeyboard keyboard_;
  Ps2Mouse mouse_;
  std::array<uint8_t, 32> ram_{};  // byte 0 is the command byte
  Source full_ = Source::None;     // whose byte is in the output buffer
  uint8_t output_ = 0;
  uint8_t waiting_ = 0;  // command that waits for its argument
  uint8_t output_port_ = 0;
  bool last_was_command_ = false, break_next_ = false;
};

// Port 0x92, system control port A: fast A20 and reset. IBM PS/2 Hardware Interface Technical Reference.
class Port92 final : public bus::Device, public memory::IoHandler {
 public:
  struct Wiring {
    std::function<void(bool enabled)> a20;
    std::function<void()> reset;
  };
  explicit Port92(Wiring wiring);
  std::string_view name() const override { return "port92"; }
  void reset(bus::ResetKind kind) override;
  void state(bus::StateVisitor& v) override;
  uint64_t io_read(uint64_t offset, unsigned size) override;
  void io_write(uint64_t offset, unsigned size, uint64_t value) override;
  memory::IoTraits io_traits() const override { return {.min = 1, .max = 1}; }

 private:
  Wiring wiring_;
  uint8_t value_ = 0;
};

}  // namespace rhea::devices
