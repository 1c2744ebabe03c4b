// The two 8259A interrupt controllers of a PC, cascaded at input 2 of the first, with the edge/level control
// registers that PCI south bridges add. Handler offsets: 0 and 1 the first chip (ports 0x20, 0x21), 2 and 3
// the second (0xA0, 0xA1), 4 and 5 the edge/level registers (0x4D0, 0x4D1).
//
// Intel 231468-003 (8259A): initialization and operation command words, poll, rotation, special modes;
// 290550-002 (PIIX3) 2.5.8 for the edge/level registers. Missing: buffered and 8080 mode. Differs: an edge is
// remembered even when its line falls before the acknowledge, since devices here pulse. Caller holds the
// machine lock.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "bus/apic_bus.h"
#include "bus/device.h"
#include "bus/irq.h"
#include "memory/io_handler.h"

namespace rhea::devices {

class I8259Pair final : public bus::Device,
                        public memory::IoHandler,
                        public bus::IrqSink,
                        public bus::ExtIntSource {
 public:
  struct Wiring {
    bus::IrqLine intr;  // to the CPU (or LINT0 of its local APIC)
  };
  explicit I8259Pair(const Wiring& wiring);

  static constexpr uint64_t kFirst = 0, kSecond = 2, kEdgeLevel = 4;

  std::string_view name() const override { return "i8259"; }
  void reset(bus::ResetKind kind) override;
  void state(bus::StateVisitor& v) override;
  uint64_t io_read(uint64_t offset, unsigned size) override;
  void io_write(uint64_t offset, unsigned size, uint64_t value) override;
  memory::IoTraits io_traits() const override { return {.min = 1, .max = 1}; }

  // Interrupts 0..15; 2 is the cascade and is ignored.
  void set_irq(unsigned pin, bool level) override;
  bool extint_pending() const override { return first_.output().has_value(); }
  uint8_t acknowledge_extint() override;

  // An input whose interrupts do not get through, and one whose interrupt has not been taken yet.
  bool masked(unsigned pin) const { return ((pin < 8 ? first_.imr : second_.imr) >> (pin & 7) & 1) != 0; }
  bool requested(unsigned pin) const { return ((pin < 8 ? first_.irr : second_.irr) >> (pin & 7) & 1) != 0; }

  // For people: how often each input rose, and the chips as `info pic` shows them.
  std::span<const uint64_t> counts() const { return counts_; }
  std::string text() const;

 private:
  struct Chip {
    uint8_t irr = 0, imr = 0, isr = 0;
    uint8_t lines = 0;       // levels as last driven
    uint8_t level_mask = 0;  // the edge/level register
    uint8_t lowest = 7;      // the input with the lowest priority
    uint8_t base = 0;
    uint8_t icw3 = 0;
    uint8_t init_step = 0;  // 0: operating, else the number of the ICW that comes next
    bool wants_icw4 = false, single = false, auto_eoi = false, rotate_auto = false;
    bool special_mask = false, fully_nested = false, poll = false, read_isr = false;
    uint8_t cascade = 0;  // mask of inputs that a second chip drives

    void visit(bus::StateVisitor& v, std::string_view name);
    std::optional<unsigned> highest(unsigned requests) const;
    std::optional<unsigned> output() const;
    void drive(unsigned input, bool level);
    void set_following(unsigned input, bool level);
    void accept(unsigned input);
    void initialize(uint8_t icw1);
    void operate2(uint8_t ocw2);
    void operate3(uint8_t ocw3);
    void end(unsigned input, bool rotate);
    void write_command(uint8_t value);
    void write_data(uint8_t value);
    uint8_t read(bool data);
  };

  void update();

  Wiring wiring_;
  Chip first_;
  Chip second_;
  std::array<uint64_t, 16> counts_{};
};

}  // namespace rhea::devices
