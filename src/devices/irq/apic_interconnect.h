// Carries messages between I/O APICs, MSI senders and local APICs: the system bus of SDM vol. 3A 11.6
// and 11.11. Local APICs are added while nothing runs; deliver() from any thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

#include "bus/apic_bus.h"
#include "cpu/core.h"

namespace rhea::devices {

class LocalApic;

class ApicInterconnect final : public bus::ApicBus {
 public:
  static constexpr unsigned kMax = 256;

  void add(LocalApic& apic);
  void remove(LocalApic& apic);
  void add_eoi_listener(bus::EoiListener& listener) { eoi_.push_back(&listener); }

  void deliver(const bus::ApicMessage& message) override;
  // The same from a vCPU's own code (an IPI): general registers only. With `everyone` the destination is not
  // looked at; `skip` does not get it.
  void send(const bus::ApicMessage& message, cpu::Core& from, bool everyone, const LocalApic* skip);
  void broadcast_eoi(uint8_t vector);  // machine lock held

 private:
  LocalApic* pick_lowest(const bus::ApicMessage& message);

  LocalApic* apics_[kMax] = {};
  unsigned count_ = 0;
  std::atomic<unsigned> next_{0};  // where the search for the lowest priority begins, so that ties take turns
  std::vector<bus::EoiListener*> eoi_;
};

}  // namespace rhea::devices
