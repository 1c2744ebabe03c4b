// What the interrupt controllers of a PC tell people (info irq, info pic).
#pragma once

#include <string>

#include "devices/irq/i8259.h"
#include "devices/irq/ioapic.h"

namespace rhea::machine {

std::string interrupt_counts(const devices::I8259Pair& pic, const devices::IoApic& ioapic);
inline std::string interrupt_state(const devices::I8259Pair& pic, const devices::IoApic& ioapic) {
  return ioapic.text() + pic.text();
}

}  // namespace rhea::machine
