// The wires from the board to its vCPUs that pass no APIC: SMI and the A20 gate. A wire sets a bit of
// Core::pending and wakes or stops the vCPU.
//
// Threading: signal() from any thread; the A20 gate with the machine lock held.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "cpu/core.h"
#include "machine/machine_host.h"

namespace rhea::machine {

class CpuWires final {
 public:
  CpuWires(std::vector<cpu::Core*> cores, MachineHost& host) : cores_(std::move(cores)), host_(host) {}

  size_t count() const { return cores_.size(); }
  cpu::Core& core(size_t index) const { return *cores_[index]; }
  void kick(size_t index) { host_.kick(static_cast<unsigned>(index)); }
  void signal(size_t index, uint32_t bits) {
    cores_[index]->pending.fetch_or(bits);
    host_.kick(static_cast<unsigned>(index));
  }
  void signal_all(uint32_t bits) {
    for (size_t i = 0; i < cores_.size(); i++) signal(i, bits);
  }

  // The A20 gate: the keyboard controller or port 0x92, whichever spoke last. Open at power-on, as firmware
  // of PCI boards expects.
  void set_a20(bool open);
  bool a20_open() const { return a20_open_; }

 private:
  std::vector<cpu::Core*> cores_;
  MachineHost& host_;
  bool a20_open_ = true;
};

}  // namespace rhea::machine
