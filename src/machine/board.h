// What the runner of a machine (vm.h) needs of its board.
#pragma once

namespace rhea::machine {

class Board {
 public:
  virtual ~Board() = default;
  // Power-up reset of every device and of the memory map. All vCPUs are stopped, machine lock held; the
  // vCPUs' own state is the Vm's business.
  virtual void reset() = 0;
  // What a user does from outside. Machine lock held.
  virtual void press_power_button() {}
  virtual void raise_nmi() {}
};

}  // namespace rhea::machine
