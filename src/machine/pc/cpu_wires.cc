// See cpu_wires.h.
#include "machine/pc/cpu_wires.h"

namespace rhea::machine {

void CpuWires::set_a20(bool open) {
  if (open == a20_open_) return;
  a20_open_ = open;
  for (cpu::Core* core : cores_) {
    std::atomic_ref(core->s.a20_masked).store(open ? 0 : 1, std::memory_order_relaxed);
  }
  signal_all(cpu::pending::kTlbFlush);
}

}  // namespace rhea::machine
