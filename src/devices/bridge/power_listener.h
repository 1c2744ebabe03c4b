// What a guest asks of its machine through power management registers.
#pragma once

namespace rhea::devices {

class PowerListener {
 public:
  virtual ~PowerListener() = default;
  virtual void power_off() = 0;
  virtual void suspend_to_ram() = 0;
  virtual void raise_smi() = 0;
};

}  // namespace rhea::devices
