// See local_apics.h.
#include "machine/pc/local_apics.h"

namespace rhea::machine {

LocalApics::LocalApics(const Wiring& wiring) {
  for (size_t i = 0; i < wiring.cpus.count(); i++) {
    apics_.push_back(std::make_unique<devices::LocalApic>(
        devices::LocalApic::Wiring{.core = wiring.cpus.core(i),
                                   .interconnect = interconnect_,
                                   .clock = wiring.clock,
                                   .tsc_hz = wiring.tsc_hz,
                                   .kick = [&cpus = wiring.cpus, i] { cpus.kick(i); },
                                   .machine_lock = wiring.lock,
                                   .extint = &wiring.extint}));
  }
}

Result<> LocalApics::map(memory::AddressSpace& memory) {
  TRY(memory.map_io(Gpa{bus::kMsiBase}, bus::kMsiSize, window_));
  return {};
}

void LocalApics::reset(bus::ResetKind kind) {
  for (auto& apic : apics_) apic->reset(kind);
}

void LocalApics::state(bus::StateVisitor& v) {
  for (auto& apic : apics_) {
    v.enter(apic->name());
    apic->state(v);
    v.leave();
  }
}

void LocalApics::set_irq(unsigned /*pin*/, bool level) {
  for (auto& apic : apics_) apic->set_irq(devices::LocalApic::kLint0, level);
}

void LocalApics::pulse_nmi() {
  for (auto& apic : apics_) {
    apic->set_irq(devices::LocalApic::kLint1, true);
    apic->set_irq(devices::LocalApic::kLint1, false);
  }
}

bool LocalApics::requested(uint8_t vector) const {
  for (const auto& apic : apics_) {
    if (apic->requested(vector)) return true;
  }
  return false;
}

}  // namespace rhea::machine
