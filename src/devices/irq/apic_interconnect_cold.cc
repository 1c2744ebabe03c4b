#include <algorithm>

#include "base/check.h"
#include "devices/irq/apic_interconnect.h"

namespace rhea::devices {

void ApicInterconnect::add(LocalApic& apic) {
  CHECK(count_ < kMax);
  apics_[count_++] = &apic;
}

void ApicInterconnect::remove(LocalApic& apic) {
  LocalApic** end = std::remove(apics_, apics_ + count_, &apic);
  count_ = static_cast<unsigned>(end - apics_);
}

void ApicInterconnect::broadcast_eoi(uint8_t vector) {
  for (bus::EoiListener* listener : eoi_) listener->end_of_interrupt(vector);
}

}  // namespace rhea::devices
