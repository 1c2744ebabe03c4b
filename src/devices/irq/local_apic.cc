// What a vCPU does with its local APIC while it runs: acknowledge, EOI, TPR, registers, IPIs; and what any
// thread does to deliver. General registers only: no calls but to Core::cold() and the like of this file.
#include "devices/irq/local_apic.h"

#include "cpu/cpuid.h"
#include "devices/irq/apic_interconnect.h"
#include "devices/irq/local_apic_cold.h"
#include "devices/irq/local_apic_regs.h"

namespace rhea::devices {

using namespace apic;
using bus::DeliveryMode;
using std::memory_order_relaxed;
namespace pending = cpu::pending;

namespace {
// LVT entries by their order: timer, thermal, performance monitor, LINT0, LINT1, error.
enum Entry : unsigned { kTimer, kThermal, kPmc, kEntryLint0, kEntryLint1, kError };

DeliveryMode lvt_mode(uint32_t lvt) {
  return static_cast<DeliveryMode>(lvt >> 8 & 7);
}
}  // namespace

int LocalApic::highest(const Bits& bits) {
  for (unsigned word = kWords; word-- != 0;) {
    uint32_t v = bits[word].load(memory_order_relaxed);
    if (v != 0) return static_cast<int>(word * 32) + 31 - __builtin_clz(v);
  }
  return -1;
}

void LocalApic::set_bit(Bits& bits, unsigned vector, bool on) {
  uint32_t mask = 1u << (vector % 32);
  if (on) {
    bits[vector / 32].fetch_or(mask);
  } else {
    bits[vector / 32].fetch_and(~mask);
  }
}

bool LocalApic::get_bit(const Bits& bits, unsigned vector) {
  return (bits[vector / 32].load(memory_order_relaxed) >> (vector % 32) & 1) != 0;
}

bool LocalApic::software_enabled() const {
  return (svr_.load(memory_order_relaxed) & kSvrEnable) != 0;
}
bool LocalApic::takes_fixed() const {
  return mode() != Mode::Disabled && software_enabled();
}

// 11.8.3.1
unsigned LocalApic::ppr() const {
  unsigned task = tpr();
  int serviced = highest(isr_);
  unsigned service = serviced < 0 ? 0 : static_cast<unsigned>(serviced);
  return (task & 0xf0) >= (service & 0xf0) ? task : service & 0xf0;
}

unsigned LocalApic::arbitration_priority() const {
  return ppr();
}

// ---- delivery ----

// 11.6.2.1, 11.6.2.2, 11.12.10.2
bool LocalApic::matches(uint32_t destination, bool logical) const {
  uint32_t id = wiring_.core.apic_id;
  uint32_t ldr = ldr_.load(memory_order_relaxed);
  Mode m = mode();
  if (m == Mode::Disabled) return false;
  if (m == Mode::X2) {
    if (destination == 0xffffffff) return true;
    if (logical) return (destination >> 16) == (ldr >> 16) && (destination & ldr & 0xffff) != 0;
    return destination == id || destination == 0xff;  // 8 bits of all ones from an I/O APIC or MSI
  }
  if (!logical) return destination == (id & 0xff) || destination == 0xff || destination == 0xffffffff;
  uint32_t mine = ldr >> 24;
  if (dfr_.load(memory_order_relaxed) >> 28 == 0xf) return (destination & mine & 0xff) != 0;
  uint32_t cluster = destination >> 4 & 0xf;
  return (cluster == mine >> 4 || cluster == 0xf) && (destination & mine & 0xf) != 0;
}

bool LocalApic::accept(DeliveryMode delivery, uint8_t vector, bool level_triggered) {
  cpu::Core& core = wiring_.core;
  if (mode() == Mode::Disabled) return false;
  switch (delivery) {
    case DeliveryMode::Fixed:
    case DeliveryMode::LowestPriority:
      if (!software_enabled()) return false;
      if (vector < 16) {
        note_error(kEsrReceiveIllegal);
        return false;
      }
      set_bit(tmr_, vector, level_triggered);
      set_bit(irr_, vector, true);
      core.pending.fetch_or(pending::kInterrupt);
      return true;
    case DeliveryMode::Smi: core.pending.fetch_or(pending::kSmi); return true;
    case DeliveryMode::Nmi: core.pending.fetch_or(pending::kNmi); return true;
    case DeliveryMode::Init: core.pending.fetch_or(pending::kInit); return true;
    case DeliveryMode::Startup:
      __atomic_store_n(&core.sipi_vector, vector, __ATOMIC_RELAXED);
      core.pending.fetch_or(pending::kSipi);
      return true;
    case DeliveryMode::ExtInt:
      lint0_level_.store(true);
      core.pending.fetch_or(pending::kInterrupt);
      return true;
    default: return false;
  }
}

bool LocalApic::fire_lvt(unsigned entry) {
  uint32_t lvt = lvt_[entry].load(memory_order_relaxed);
  if ((lvt & kMasked) != 0) return false;
  // The timer's and the error's entries have no delivery mode field.
  bool fixed = entry == kTimer || entry == kError;
  return accept(fixed ? DeliveryMode::Fixed : lvt_mode(lvt), static_cast<uint8_t>(lvt), false);
}

void LocalApic::note_error(uint32_t bit) {
  uint32_t before = esr_pending_.fetch_or(bit);
  uint32_t lvt = lvt_[kError].load(memory_order_relaxed);
  // An illegal vector there would report itself for ever.
  if ((before & bit) == 0 && (lvt & 0xff) >= 16) fire_lvt(kError);
}

// 11.5.1, figure 11-2: the 8259 reaches the CPU through LINT0 as ExtINT, or directly while the APIC is
// disabled.
bool LocalApic::takes_extint() const {
  if (mode() == Mode::Disabled) return true;
  uint32_t lvt = lvt_[kEntryLint0].load(memory_order_relaxed);
  return (lvt & kMasked) == 0 && lvt_mode(lvt) == DeliveryMode::ExtInt;
}

bool LocalApic::deliverable() {
  if (takes_fixed()) {
    int vector = highest(irr_);
    if (vector >= 0 && (static_cast<unsigned>(vector) & 0xf0) > (ppr() & 0xf0)) return true;
  }
  return lint0_level_.load(memory_order_relaxed) && takes_extint();
}

int LocalApic::acknowledge() {
  if (takes_fixed()) {
    int vector = highest(irr_);
    if (vector >= 0 && (static_cast<unsigned>(vector) & 0xf0) > (ppr() & 0xf0)) {
      set_bit(irr_, static_cast<unsigned>(vector), false);
      set_bit(isr_, static_cast<unsigned>(vector), true);
      look_again();
      return vector;
    }
  }
  if (!lint0_level_.load(memory_order_relaxed) || !takes_extint()) return -1;
  apic_cold::ExtIntCall call{wiring_.extint, &wiring_.machine_lock, &lint0_level_, -1};
  wiring_.core.cold(apic_cold::acknowledge_8259, &call);
  look_again();
  return call.vector;
}

void LocalApic::look_again() {
  if (deliverable()) wiring_.core.pending.fetch_or(pending::kInterrupt);
}

void LocalApic::set_tpr(uint8_t tpr) {
  tpr_.store(tpr, memory_order_relaxed);
  look_again();
}

void LocalApic::end_of_interrupt() {
  int vector = highest(isr_);
  if (vector < 0) return;
  auto v = static_cast<unsigned>(vector);
  set_bit(isr_, v, false);
  if (get_bit(tmr_, v)) {
    apic_cold::EoiCall call{&wiring_.interconnect, &wiring_.machine_lock, static_cast<uint8_t>(v)};
    wiring_.core.cold(apic_cold::broadcast_eoi, &call);
  }
  look_again();
}

// ---- IPIs ----

void LocalApic::self_ipi(uint8_t vector) {
  if (vector < 16) {
    note_error(kEsrSendIllegal);
    return;
  }
  accept(DeliveryMode::Fixed, vector, false);
}

// 11.6.1; `icr` has a 32-bit destination in its high half.
void LocalApic::send_icr(uint64_t icr) {
  auto low = static_cast<uint32_t>(icr);
  auto delivery = static_cast<DeliveryMode>(low >> 8 & 7);
  auto vector = static_cast<uint8_t>(low);
  if (delivery == DeliveryMode::Reserved || delivery == DeliveryMode::ExtInt) return;
  if (delivery == DeliveryMode::Init && (low & kIcrAssert) == 0) return;  // de-assert: only old APICs listen
  bool with_vector = delivery == DeliveryMode::Fixed || delivery == DeliveryMode::LowestPriority;
  if (with_vector && vector < 16) {
    note_error(kEsrSendIllegal);
    return;
  }
  // The trigger mode of IPIs other than INIT de-assert is ignored: they are edges.
  bus::ApicMessage m{.destination = static_cast<uint32_t>(icr >> 32),
                     .logical = (low & kIcrLogical) != 0,
                     .mode = delivery,
                     .vector = vector,
                     .level_triggered = false};
  cpu::Core& core = wiring_.core;
  switch (low >> 18 & 3) {
    case 0: wiring_.interconnect.send(m, core, false, nullptr); break;
    case 1:
      if (with_vector) self_ipi(vector);  // other modes are not valid with this shorthand
      break;
    case 2: wiring_.interconnect.send(m, core, true, nullptr); break;
    default: wiring_.interconnect.send(m, core, true, this); break;
  }
}

// ---- registers ----

uint32_t LocalApic::x2_ldr() const {
  uint32_t id = wiring_.core.apic_id;
  return (id >> 4) << 16 | 1u << (id & 0xf);
}

uint32_t LocalApic::read_register(uint32_t reg) {
  bool x2 = mode() == Mode::X2;
  if (reg >= kIsr && reg < kIsr + 8) return isr_[reg - kIsr].load(memory_order_relaxed);
  if (reg >= kTmr && reg < kTmr + 8) return tmr_[reg - kTmr].load(memory_order_relaxed);
  if (reg >= kIrr && reg < kIrr + 8) return irr_[reg - kIrr].load(memory_order_relaxed);
  if (reg >= kLvtTimer && reg <= kLvtError) return lvt_[reg - kLvtTimer].load(memory_order_relaxed);
  switch (reg) {
    case kId: return x2 ? wiring_.core.apic_id : wiring_.core.apic_id << 24;
    case kVersion: return kVersionValue;
    case kTpr: return tpr();
    case kApr: return arbitration_priority();
    case kPpr: return ppr();
    case kLdr: return ldr_.load(memory_order_relaxed);
    case kDfr: return dfr_.load(memory_order_relaxed);
    case kSvr: return svr_.load(memory_order_relaxed);
    case kEsr: return esr_;
    case kIcrLow: return static_cast<uint32_t>(icr_);
    case kIcrHigh: return static_cast<uint32_t>(icr_ >> 32);
    case kTdcr: return tdcr_;
    case kTmict:
    case kTmcct: {
      apic_cold::TimerCall call{&timer_,
                                reg == kTmict ? apic_cold::TimerOp::Initial : apic_cold::TimerOp::Current, 0};
      wiring_.core.cold(apic_cold::timer, &call);
      return static_cast<uint32_t>(call.value);
    }
    default: return 0;
  }
}

void LocalApic::write_lvt(unsigned entry, uint32_t value) {
  value &= kLvtWritable[entry];
  if (!software_enabled()) value |= kMasked;
  lvt_[entry].store(value, memory_order_relaxed);
  if (entry == kTimer) {
    apic_cold::TimerCall call{&timer_, apic_cold::TimerOp::Mode, value >> 17 & 3};
    wiring_.core.cold(apic_cold::timer, &call);
  }
  if (entry == kEntryLint0) look_again();
}

// 11.9; disabling masks the local vector table (11.4.7.2).
void LocalApic::write_svr(uint32_t value) {
  svr_.store(value & kSvrWritable, memory_order_relaxed);
  if ((value & kSvrEnable) != 0) {
    look_again();
    return;
  }
  for (auto& lvt : lvt_) lvt.fetch_or(kMasked);
}

void LocalApic::write_register(uint32_t reg, uint32_t value) {
  if (reg >= kLvtTimer && reg <= kLvtError) return write_lvt(reg - kLvtTimer, value);
  switch (reg) {
    case kTpr: set_tpr(static_cast<uint8_t>(value)); break;
    case kEoi: end_of_interrupt(); break;
    case kLdr: ldr_.store(value & 0xff000000, memory_order_relaxed); break;
    case kDfr: dfr_.store(value | 0x0fffffff, memory_order_relaxed); break;
    case kSvr: write_svr(value); break;
    case kEsr: esr_ = esr_pending_.exchange(0); break;
    case kIcrHigh: icr_ = (icr_ & 0xffffffff) | uint64_t{value & 0xff000000} << 32; break;
    case kIcrLow:
      icr_ = (icr_ & ~uint64_t{0xffffffff}) | (value & kIcrWritable);
      send_icr(icr_ >> 56 << 32 | (icr_ & 0xffffffff));
      break;
    case kTmict: {
      apic_cold::TimerCall call{&timer_, apic_cold::TimerOp::Start, value};
      wiring_.core.cold(apic_cold::timer, &call);
      break;
    }
    case kTdcr: {
      tdcr_ = value & 0xb;
      apic_cold::TimerCall call{&timer_, apic_cold::TimerOp::Divide, tdcr_};
      wiring_.core.cold(apic_cold::timer, &call);
      break;
    }
    default: note_error(kEsrIllegalRegister); break;
  }
}

// 11.4.1: aligned 32-bit accesses; what else does is not defined.
bool LocalApic::load(uint64_t offset, unsigned size, uint64_t& value) {
  if (mode() != Mode::X1) return false;
  uint32_t v =
      (offset & 0xf) < 4 ? read_register(static_cast<uint32_t>(offset >> 4)) >> (8 * (offset & 3)) : 0;
  value = size < 4 ? v & ((1u << (8 * size)) - 1) : v;
  return true;
}

bool LocalApic::store(uint64_t offset, unsigned, uint64_t value) {
  if (mode() != Mode::X1) return false;
  if ((offset & 0xf) == 0) write_register(static_cast<uint32_t>(offset >> 4), static_cast<uint32_t>(value));
  return true;
}

// ---- MSRs ----

bool LocalApic::read_msr(uint32_t index, uint64_t& value) {
  if (index == 0x1b) {
    value = wiring_.core.s.apic_base;
    return true;
  }
  return mode() == Mode::X2 && index >= 0x800 && index < 0x840 && read_x2(index - 0x800, value);
}

bool LocalApic::write_msr(uint32_t index, uint64_t value) {
  if (index == 0x1b) return write_base(value);
  return mode() == Mode::X2 && index >= 0x800 && index < 0x840 && write_x2(index - 0x800, value);
}

// Table 11-6: which registers there are, and how.
bool LocalApic::read_x2(uint32_t reg, uint64_t& value) {
  switch (reg) {
    case kIcrLow: value = icr_; return true;
    case kId:
    case kVersion:
    case kTpr:
    case kPpr:
    case kLdr:
    case kSvr:
    case kEsr:
    case kTmict:
    case kTmcct:
    case kTdcr: break;
    default:
      if ((reg >= kIsr && reg < kIrr + 8) || (reg >= kLvtTimer && reg <= kLvtError)) break;
      return false;
  }
  value = read_register(reg);
  return true;
}

bool LocalApic::write_x2(uint32_t reg, uint64_t value) {
  if (reg == kIcrLow) {
    if ((value & 0xffffffff & ~uint64_t{kIcrWritable}) != 0) return false;
    icr_ = value;
    send_icr(value);
    return true;
  }
  uint64_t writable;
  switch (reg) {
    case kTpr: writable = 0xff; break;
    case kEoi:
    case kEsr: writable = 0; break;
    case kSvr: writable = kSvrWritable; break;
    case kTmict: writable = 0xffffffff; break;
    case kTdcr: writable = 0xb; break;
    case kSelfIpi: writable = 0xff; break;
    default:
      if (reg < kLvtTimer || reg > kLvtError) return false;
      writable =
          kLvtWritable[reg - kLvtTimer] | 0x5000;  // delivery status and remote IRR: read-only, not reserved
      break;
  }
  if ((value & ~writable) != 0) return false;
  if (reg == kSelfIpi) {
    self_ipi(static_cast<uint8_t>(value));
  } else {
    write_register(reg, static_cast<uint32_t>(value));
  }
  return true;
}

// 11.12.5: disabled ↔ xAPIC, xAPIC → x2APIC, x2APIC → disabled.
bool LocalApic::write_base(uint64_t value) {
  cpu::Core& core = wiring_.core;
  uint64_t writable = (((uint64_t{1} << core.phys_bits) - 1) & ~uint64_t{0xfff}) | kBaseBsp | kBaseEnable;
  if (core.cpuid == nullptr || core.cpuid->has(cpu::Feature::x2apic)) writable |= kBaseX2;
  if ((value & ~writable) != 0) return false;
  bool enable = (value & kBaseEnable) != 0;
  bool x2 = (value & kBaseX2) != 0;
  Mode to = !enable ? Mode::Disabled : x2 ? Mode::X2 : Mode::X1;
  Mode from = mode();
  if (x2 && !enable) return false;
  if ((from == Mode::X2 && to == Mode::X1) || (from == Mode::Disabled && to == Mode::X2)) return false;
  core.s.apic_base = value;
  if (from == to) return true;
  if (from == Mode::Disabled || to == Mode::Disabled) clear_registers();
  mode_.store(to);
  if (to == Mode::X2) ldr_.store(x2_ldr(), memory_order_relaxed);
  look_again();
  return true;
}

// The state after power-up, reset or INIT (11.4.7.1, 11.4.7.3). Differs on the boot processor: LINT0 is open
// for the 8259 from the start, as firmware that never touches the local APIC expects.
void LocalApic::clear_registers() {
  tpr_.store(0, memory_order_relaxed);
  ldr_.store(mode() == Mode::X2 ? x2_ldr() : 0, memory_order_relaxed);
  dfr_.store(0xffffffff, memory_order_relaxed);
  svr_.store(0xff, memory_order_relaxed);
  for (unsigned i = 0; i < kWords; ++i) {
    irr_[i].store(0, memory_order_relaxed);
    isr_[i].store(0, memory_order_relaxed);
    tmr_[i].store(0, memory_order_relaxed);
  }
  for (auto& lvt : lvt_) lvt.store(kMasked, memory_order_relaxed);
  if (wiring_.core.index == 0) lvt_[kEntryLint0].store(0x700, memory_order_relaxed);
  esr_pending_.store(0, memory_order_relaxed);
  esr_ = 0;
  icr_ = 0;
  tdcr_ = 0;
  apic_cold::TimerCall call{&timer_, apic_cold::TimerOp::Reset, 0};
  wiring_.core.cold(apic_cold::timer, &call);
}

void LocalApic::init() {
  clear_registers();
}

void LocalApic::set_tsc_deadline(uint64_t guest_tsc) {
  apic_cold::TimerCall call{&timer_, apic_cold::TimerOp::SetDeadline, guest_tsc};
  wiring_.core.cold(apic_cold::timer, &call);
}

uint64_t LocalApic::tsc_deadline() const {
  // SAFETY: only read; the call's pointer is not const because most calls change the timer.
  apic_cold::TimerCall call{const_cast<ApicTimer*>(&timer_), apic_cold::TimerOp::GetDeadline, 0};
  wiring_.core.cold(apic_cold::timer, &call);
  return call.value;
}

}  // namespace rhea::devices
