// What a board asks of whoever runs it (machine/vm.h). Callable from any thread, machine lock held or not;
// all are requests that are carried out later, on the main thread.
#pragma once

#include <cstdint>
#include <functional>

namespace rhea::machine {

class MachineHost {
 public:
  virtual ~MachineHost() = default;
  // The guest asks for a reset: keyboard controller, port 0x92, port 0xCF9, triple fault.
  virtual void request_reset() = 0;
  virtual void request_power_off() = 0;
  virtual void request_suspend() = 0;
  // Ends the process with this status (isa-debug-exit).
  virtual void request_exit(int status) = 0;
  // Core::pending of this vCPU has new bits: wake it from a halt, or take it out of translated code.
  virtual void kick(unsigned vcpu) = 0;
  // The time that the first vCPU has had on a host processor; kIdle while it sleeps and nobody has woken it,
  // or where that is not known.
  static constexpr int64_t kIdle = -1;
  virtual int64_t guest_time_ns() const { return kIdle; }
  // Runs `work`, machine lock held, while no vCPU is on its way to a device: where one may be destroyed.
  virtual void when_still(std::function<void()> work) { work(); }
};

}  // namespace rhea::machine
