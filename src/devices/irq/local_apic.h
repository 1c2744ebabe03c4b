// A vCPU's local APIC, as xAPIC (memory-mapped) and x2APIC (MSRs). SDM vol. 3A chapter 11 (10 in older
// editions).
//
// Threading. Registers belong to the vCPU's own thread. What others need — IRR, TMR, ids, the error status,
// modes — is atomic: accept() and set_irq() may be called from any thread, set the request and a bit of
// Core::pending, and ask for a kick. local_apic.cc is what translated code reaches: general registers only,
// everything else behind Core::cold().
//
// Missing: CMCI, delivery status (always idle), remote IRR of LINT pins, EOI-broadcast suppression, an APIC
// page away from FEE00000H for accesses that do not come through read_physical()/write_physical().
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <mutex>

#include "bus/apic_bus.h"
#include "bus/device.h"
#include "bus/irq.h"
#include "cpu/core.h"
#include "devices/irq/apic_timer.h"

namespace rhea::devices {

class ApicInterconnect;

class LocalApic final : public cpu::InterruptController, public bus::Device, public bus::IrqSink {
 public:
  struct Wiring {
    cpu::Core& core;                 // apic_id is set; the board sets Core::apic to this
    ApicInterconnect& interconnect;  // registers itself there
    async::Clock& clock;
    uint64_t tsc_hz;                     // of the guest's TSC
    std::function<void()> kick;          // wakes the vCPU or makes it look at Core::pending; any thread
    std::recursive_mutex& machine_lock;  // taken around the 8259 and EOI broadcasts
    bus::ExtIntSource* extint = nullptr;
    std::function<uint64_t()> guest_tsc = {};  // empty: the core's
  };
  explicit LocalApic(const Wiring& wiring);
  ~LocalApic() override;

  static constexpr unsigned kLint0 = 0, kLint1 = 1;

  std::string_view name() const override { return "apic"; }
  void reset(bus::ResetKind kind) override;
  void state(bus::StateVisitor& v) override;
  // LINT0 (the 8259's output) and LINT1 (NMI).
  void set_irq(unsigned pin, bool level) override;

  // On the vCPU's thread, general registers only.
  bool deliverable() override;
  int acknowledge() override;
  uint8_t tpr() const override { return tpr_.load(std::memory_order_relaxed); }
  void set_tpr(uint8_t tpr) override;
  bool read_msr(uint32_t index, uint64_t& value) override;
  bool write_msr(uint32_t index, uint64_t value) override;
  void init() override;
  void set_tsc_deadline(uint64_t guest_tsc) override;
  // An interrupt that has been accepted and not yet taken.
  bool requested(uint8_t vector) const {
    return (irr_[vector / 32].load(std::memory_order_relaxed) >> vector % 32 & 1) != 0;
  }
  uint64_t tsc_deadline() const override;
  bool load(uint64_t offset, unsigned size, uint64_t& value) override;
  bool store(uint64_t offset, unsigned size, uint64_t value) override;

  // For the interconnect. Any thread, general registers only.
  bool matches(uint32_t destination, bool logical) const;
  // True: kick() the vCPU. A message that the APIC's mode does not take is lost, as on the bus.
  bool accept(bus::DeliveryMode mode, uint8_t vector, bool level_triggered);
  bool takes_fixed() const;  // enabled in hardware and software
  unsigned arbitration_priority() const;
  void kick() { wiring_.kick(); }  // not from hot code
  cpu::Core& core() { return wiring_.core; }

 private:
  enum class Mode : uint8_t { Disabled, X1, X2 };
  static constexpr unsigned kWords = 8;
  using Bits = std::atomic<uint32_t>[kWords];

  static int highest(const Bits& bits);
  static void set_bit(Bits& bits, unsigned vector, bool on);
  static bool get_bit(const Bits& bits, unsigned vector);
  unsigned ppr() const;
  bool takes_extint() const;
  void look_again();  // sets pending::kInterrupt if something may be delivered now
  void note_error(uint32_t bit);
  bool fire_lvt(unsigned entry);  // true: kick

  Mode mode() const { return mode_.load(std::memory_order_relaxed); }
  bool software_enabled() const;
  uint32_t read_register(uint32_t reg);
  void write_register(uint32_t reg, uint32_t value);
  void write_lvt(unsigned entry, uint32_t value);
  void write_svr(uint32_t value);
  void end_of_interrupt();
  void send_icr(uint64_t icr);
  void self_ipi(uint8_t vector);
  bool write_base(uint64_t value);
  bool read_x2(uint32_t reg, uint64_t& value);
  bool write_x2(uint32_t reg, uint64_t value);
  void clear_registers();
  uint32_t x2_ldr() const;

  Wiring wiring_;
  std::atomic<Mode> mode_{Mode::X1};
  std::atomic<uint8_t> tpr_{0};
  std::atomic<uint32_t> ldr_{0}, dfr_{0xffffffff}, svr_{0xff};
  std::atomic<uint32_t> lvt_[6];
  Bits irr_{}, isr_{}, tmr_{};
  std::atomic<uint32_t> esr_pending_{0};
  uint32_t esr_ = 0;
  uint64_t icr_ = 0;
  uint32_t tdcr_ = 0;
  std::atomic<bool> lint0_level_{false}, lint1_level_{false};
  ApicTimer timer_;
};

}  // namespace rhea::devices
