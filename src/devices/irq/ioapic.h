// The I/O APIC: 24 inputs, each with a redirection entry that turns its edges or levels into messages to
// local APICs.
//
// Intel 290566-001 (82093AA): 3.1 register access, 3.2 registers, and the EOI register at 0x40 that version
// 0x20 parts (ICH2 onwards, 290687-002, 13.5) add. Inputs are logical: the polarity bit is kept but not
// applied. Missing: arbitration id changes nothing. Caller holds the machine lock.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>

#include "bus/apic_bus.h"
#include "bus/device.h"
#include "bus/irq.h"
#include "memory/io_handler.h"

namespace rhea::devices {

class IoApic final : public bus::Device,
                     public memory::IoHandler,
                     public bus::IrqSink,
                     public bus::EoiListener {
 public:
  struct Wiring {
    bus::ApicBus& apics;
  };
  explicit IoApic(const Wiring& wiring);

  static constexpr unsigned kPins = 24;
  static constexpr uint64_t kIoSize = 0x1000;

  std::string_view name() const override { return "ioapic"; }
  void reset(bus::ResetKind kind) override;
  void state(bus::StateVisitor& v) override;
  uint64_t io_read(uint64_t offset, unsigned size) override;
  void io_write(uint64_t offset, unsigned size, uint64_t value) override;
  memory::IoTraits io_traits() const override { return {.min = 4, .max = 4}; }

  void set_irq(unsigned pin, bool level) override;
  void end_of_interrupt(uint8_t vector) override;

  // An input whose interrupts do not get through.
  bool masked(unsigned pin) const;
  uint8_t vector(unsigned pin) const { return static_cast<uint8_t>(entries_[pin]); }

  // For people: how often each input rose, and the table as `info pic` shows it.
  std::span<const uint64_t> counts() const { return counts_; }
  std::string text() const;

 private:
  uint32_t read_register() const;
  void write_register(uint32_t value);
  void service(unsigned pin);

  Wiring wiring_;
  std::array<uint64_t, kPins> entries_{};
  std::array<uint64_t, kPins> counts_{};
  uint32_t lines_ = 0;
  uint8_t select_ = 0;
  uint8_t id_ = 0;
};

}  // namespace rhea::devices
