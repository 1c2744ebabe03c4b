// The vCPUs' local APICs with what connects them: the interconnect for messages, the 8259's output at every
// LINT0, and the address range to which devices write message-signalled interrupts.
//
// Threading: as devices/irq/local_apic.h says; reset and state with the machine lock held and the vCPUs
// stopped.
#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "async/clock.h"
#include "bus/apic_bus.h"
#include "bus/device.h"
#include "bus/irq.h"
#include "devices/irq/apic_interconnect.h"
#include "devices/irq/apic_window.h"
#include "devices/irq/local_apic.h"
#include "machine/pc/cpu_wires.h"
#include "memory/address_space.h"

namespace rhea::machine {

class LocalApics final : public bus::Device, public bus::ApicBus, public bus::IrqSink {
 public:
  struct Wiring {
    CpuWires& cpus;
    async::Clock& clock;  // virtual
    uint64_t tsc_hz;
    std::recursive_mutex& lock;
    bus::ExtIntSource& extint;
  };
  explicit LocalApics(const Wiring& wiring);

  void add_eoi_listener(bus::EoiListener& listener) { interconnect_.add_eoi_listener(listener); }
  Result<> map(memory::AddressSpace& memory);
  cpu::InterruptController& controller(size_t index) { return *apics_[index]; }

  std::string_view name() const override { return "apics"; }
  void reset(bus::ResetKind kind) override;
  void state(bus::StateVisitor& v) override;
  void deliver(const bus::ApicMessage& message) override { interconnect_.deliver(message); }
  // At any processor.
  bool requested(uint8_t vector) const;
  // The output of the 8259 pair.
  void set_irq(unsigned pin, bool level) override;
  // LINT1 of all.
  void pulse_nmi();

 private:
  devices::ApicInterconnect interconnect_;
  devices::ApicWindow window_{interconnect_};
  std::vector<std::unique_ptr<devices::LocalApic>> apics_;
};

}  // namespace rhea::machine
