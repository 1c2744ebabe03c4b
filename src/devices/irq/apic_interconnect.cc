// The part that vCPUs reach: general registers only.
#include "devices/irq/apic_interconnect.h"

#include "base/check.h"
#include "devices/irq/local_apic.h"

namespace rhea::devices {

namespace {
void kick(void* apic) {
  static_cast<LocalApic*>(apic)->kick();
}
}  // namespace

// 11.6.2.4: one of those that match, with the lowest priority; which among equals is ours to choose.
LocalApic* ApicInterconnect::pick_lowest(const bus::ApicMessage& m) {
  LocalApic* best = nullptr;
  unsigned best_priority = 256;
  unsigned start = next_.fetch_add(1, std::memory_order_relaxed);
  for (unsigned i = 0; i < count_; ++i) {
    LocalApic* a = apics_[(start + i) % count_];
    if (!a->takes_fixed() || !a->matches(m.destination, m.logical)) continue;
    unsigned priority = a->arbitration_priority();
    if (priority < best_priority) {
      best = a;
      best_priority = priority;
    }
  }
  return best;
}

void ApicInterconnect::deliver(const bus::ApicMessage& m) {
  if (m.mode == bus::DeliveryMode::LowestPriority) {
    LocalApic* a = pick_lowest(m);
    if (a != nullptr && a->accept(bus::DeliveryMode::Fixed, m.vector, m.level_triggered)) a->kick();
    return;
  }
  for (unsigned i = 0; i < count_; ++i) {
    LocalApic* a = apics_[i];
    if (a->matches(m.destination, m.logical) && a->accept(m.mode, m.vector, m.level_triggered)) a->kick();
  }
}

void ApicInterconnect::send(const bus::ApicMessage& m, cpu::Core& from, bool everyone,
                            const LocalApic* skip) {
  auto give = [&](LocalApic* a, bus::DeliveryMode mode) {
    if (!a->accept(mode, m.vector, m.level_triggered)) return;
    if (&a->core() != &from) from.cold(kick, a);
  };
  if (m.mode == bus::DeliveryMode::LowestPriority && !everyone) {
    if (LocalApic* a = pick_lowest(m)) give(a, bus::DeliveryMode::Fixed);
    return;
  }
  bus::DeliveryMode mode = m.mode == bus::DeliveryMode::LowestPriority ? bus::DeliveryMode::Fixed : m.mode;
  for (unsigned i = 0; i < count_; ++i) {
    LocalApic* a = apics_[i];
    if (a != skip && (everyone || a->matches(m.destination, m.logical))) give(a, mode);
  }
}

}  // namespace rhea::devices
