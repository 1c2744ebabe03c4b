// ISA interrupts and the global system interrupts above them: each goes to the 8259 pair and to the I/O APIC,
// where interrupt 0 is input 2 (as the MADT says). Inputs 16..23 exist at the I/O APIC only.
//
// Machine lock held.
#pragma once

#include "bus/irq.h"

namespace rhea::machine {

class IsaInterrupts final : public bus::IrqSink {
 public:
  IsaInterrupts(bus::IrqSink& i8259, bus::IrqSink& ioapic) : i8259_(i8259), ioapic_(ioapic) {}

  void set_irq(unsigned pin, bool level) override {
    if (pin < 16) i8259_.set_irq(pin, level);
    ioapic_.set_irq(pin == 0 ? 2 : pin, level);
  }

 private:
  bus::IrqSink& i8259_;
  bus::IrqSink& ioapic_;
};

}  // namespace rhea::machine
