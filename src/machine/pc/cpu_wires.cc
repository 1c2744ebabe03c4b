// See cpu_wires.h.
#include "machine/pc/cpu_wires.h"

namespace rhea::machine {

void CpuWires::set_a20(A20Source source, bool open) {
  unsigned before = a20_sources_;
  a20_sources_ = open ? a20_sources_ | source : a20_sources_ & ~unsigned{source};
  if ((before != 0) != (a20_sources_ != 0)) drive_a20();
}

void CpuWires::reset() {
  a20_sources_ = kPort92;
  drive_a20();
}

void CpuWires::drive_a20() {
  for (cpu::Core* core : cores_) {
    std::atomic_ref(core->s.a20_masked).store(a20_sources_ == 0, std::memory_order_relaxed);
  }
  signal_all(cpu::pending::kTlbFlush);
}

}  // namespace rhea::machine
