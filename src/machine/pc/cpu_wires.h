// The wires from the board to its vCPUs: interrupt, NMI, SMI and the A20 gate. A wire sets a bit of Core::pending and
// wakes or stops the vCPU.
//
// Threading: signal() from any thread; the A20 gate with the machine lock held.
#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

#include "bus/irq.h"
#include "cpu/core.h"
#include "machine/machine_host.h"

namespace rhea::machine {

class CpuWires final : public bus::IrqSink {
 public:
  CpuWires(std::vector<cpu::Core*> cores, MachineHost& host) : cores_(std::move(cores)), host_(host) {}

  size_t count() const { return cores_.size(); }
  cpu::Core& core(size_t index) const { return *cores_[index]; }
  void signal(size_t index, uint32_t bits) {
    cores_[index]->pending.fetch_or(bits);
    host_.kick(static_cast<unsigned>(index));
  }
  void signal_all(uint32_t bits) {
    for (size_t i = 0; i < cores_.size(); i++) signal(i, bits);
  }

  // The 8259's INTR output reaches LINT0 of every local APIC; those that take it look for themselves.
  void set_irq(unsigned /*pin*/, bool level) override {
    if (level) signal_all(cpu::pending::kInterrupt);
  }

  // A20 is open when any of its sources opens it: the keyboard controller or port 0x92.
  enum A20Source : unsigned { kKeyboardController = 1, kPort92 = 2 };
  void set_a20(A20Source source, bool open);
  bool a20_open() const { return a20_sources_ != 0; }
  void reset();

 private:
  void drive_a20();

  std::vector<cpu::Core*> cores_;
  MachineHost& host_;
  unsigned a20_sources_ = kPort92;  // open at power-on, as firmware of PCI boards expects
};

}  // namespace rhea::machine
