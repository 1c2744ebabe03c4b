// What the runner of a machine (vm.h) needs of its board.
#pragma once

#include <string>

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
  // For people: how often each interrupt came, and what the interrupt controllers hold.
  virtual std::string interrupt_counts() const { return {}; }
  virtual std::string interrupt_state() { return {}; }
};

}  // namespace rhea::machine
