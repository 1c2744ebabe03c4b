// The registers that Intel's host bridges from the 440FX on share: PAM0..PAM6 and SMRAM, at offsets of their
// own in each.
//
// Intel 290549-001 (82441FX): 3.2.17 PAM, 3.2.24 SMRAM; 316966 (Q35): 5.1.13 and 5.1.21. Caller holds the
// machine lock.
#pragma once

#include "bus/pci/pci_function.h"
#include "devices/bridge/host_bridge_listener.h"

namespace rhea::devices {

class PamSmram {
 public:
  struct Placement {
    unsigned pam0;   // seven bytes from here
    unsigned smram;  // one byte
  };
  // listener may be null.
  PamSmram(bus::pci::PciFunction& bridge, const Placement& at, HostBridgeListener* listener);

  // After the function's own reset and after loading its state.
  void reset();
  void loaded();
  void written(unsigned offset, unsigned size);
  bool locked() const { return locked_; }
  bool enabled() const;  // SMRAM is there

 private:
  void lock();
  void report_pam(unsigned index);
  void report_smram();
  void report_all();

  bus::pci::PciFunction& bridge_;
  Placement at_;
  HostBridgeListener* listener_;
  bool locked_ = false;
};

}  // namespace rhea::devices
