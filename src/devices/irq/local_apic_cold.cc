// The local APIC's ordinary half: construction, wires, saved state, and the calls that the hot half makes.
#include "devices/irq/local_apic_cold.h"

#include <utility>

#include "cpu/registers.h"
#include "devices/irq/apic_interconnect.h"
#include "devices/irq/local_apic.h"
#include "devices/irq/local_apic_regs.h"

namespace rhea::devices {

namespace apic_cold {

void timer(void* arg) {
  auto& c = *static_cast<TimerCall*>(arg);
  ApicTimer& t = *c.timer;
  switch (c.op) {
    case TimerOp::Mode: t.set_mode(static_cast<ApicTimer::Mode>(c.value)); break;
    case TimerOp::Divide: t.set_divide(static_cast<uint32_t>(c.value)); break;
    case TimerOp::Start: t.set_initial_count(static_cast<uint32_t>(c.value)); break;
    case TimerOp::Initial: c.value = t.initial_count(); break;
    case TimerOp::Current: c.value = t.current_count(); break;
    case TimerOp::SetDeadline: t.set_deadline(c.value); break;
    case TimerOp::GetDeadline: c.value = t.deadline(); break;
    case TimerOp::Reset: t.reset(); break;
  }
}

void broadcast_eoi(void* arg) {
  auto& c = *static_cast<EoiCall*>(arg);
  const std::lock_guard lock(*c.lock);
  c.interconnect->broadcast_eoi(c.vector);
}

void acknowledge_8259(void* arg) {
  auto& c = *static_cast<ExtIntCall*>(arg);
  if (c.source == nullptr) {
    c.level->store(false);
    return;
  }
  const std::lock_guard lock(*c.lock);
  c.vector = c.source->acknowledge_extint();
  // An ExtINT that came as a message has no wire to fall again.
  if (!c.source->extint_pending()) c.level->store(false);
}

}  // namespace apic_cold

using namespace apic;

LocalApic::LocalApic(const Wiring& wiring)
    : wiring_(wiring),
      timer_({.clock = wiring.clock,
              .guest_tsc = wiring.guest_tsc ? wiring.guest_tsc : std::function<uint64_t()>([this] {
                return cpu::guest_tsc(wiring_.core);
              }),
              .tsc_hz = wiring.tsc_hz,
              .expired = [this] {
                if (fire_lvt(0)) wiring_.kick();
              }}) {
  wiring_.interconnect.add(*this);
  clear_registers();
}

LocalApic::~LocalApic() {
  wiring_.interconnect.remove(*this);
}

void LocalApic::reset(bus::ResetKind) {
  mode_.store(Mode::X1);
  lint1_level_.store(false);
  clear_registers();
}

void LocalApic::set_irq(unsigned pin, bool level) {
  std::atomic<bool>& line = pin == kLint0 ? lint0_level_ : lint1_level_;
  bool before = line.exchange(level);
  if (!level || before) return;
  uint32_t lvt = lvt_[pin == kLint0 ? 3 : 4].load(std::memory_order_relaxed);
  bool extint = static_cast<bus::DeliveryMode>(lvt >> 8 & 7) == bus::DeliveryMode::ExtInt;
  if (pin == kLint0 && (mode() == Mode::Disabled || extint)) {
    if (!takes_extint()) return;
    wiring_.core.pending.fetch_or(cpu::pending::kInterrupt);
    wiring_.kick();
    return;
  }
  // With the APIC disabled LINT1 is the NMI pin.
  if (mode() == Mode::Disabled) {
    wiring_.core.pending.fetch_or(cpu::pending::kNmi);
    wiring_.kick();
    return;
  }
  if (fire_lvt(pin == kLint0 ? 3 : 4)) wiring_.kick();
}

namespace {
template <class T>
void atomic_field(bus::StateVisitor& v, std::string_view name, std::atomic<T>& a) {
  T value = a.load();
  v.field(name, value);
  a.store(value);
}
}  // namespace

void LocalApic::state(bus::StateVisitor& v) {
  v.enter("apic");
  atomic_field(v, "mode", mode_);
  if (mode() > Mode::X2) mode_.store(Mode::X1);
  atomic_field(v, "tpr", tpr_);
  atomic_field(v, "ldr", ldr_);
  atomic_field(v, "dfr", dfr_);
  atomic_field(v, "svr", svr_);
  for (auto& lvt : lvt_) atomic_field(v, "lvt", lvt);
  for (unsigned i = 0; i < kWords; ++i) {
    atomic_field(v, "irr", irr_[i]);
    atomic_field(v, "isr", isr_[i]);
    atomic_field(v, "tmr", tmr_[i]);
  }
  atomic_field(v, "esr_pending", esr_pending_);
  v.field("esr", esr_);
  v.field("icr", icr_);
  v.field("tdcr", tdcr_);
  atomic_field(v, "lint0", lint0_level_);
  atomic_field(v, "lint1", lint1_level_);
  timer_.state(v);
  v.leave();
}

}  // namespace rhea::devices
