// The host bridge of the 82441FX (PMC, 440FX): function 0:0.0 of the "pc" board, with the programmable
// attribute map (which parts of 0xC0000..0xFFFFF are RAM for reads and for writes) and SMRAM control.
//
// Intel 290549-001: 3.2.17 PAM registers, 3.2.24 SMRAM. Missing: DRAM timing and error registers (held,
// without effect), bus arbitration. Caller holds the machine lock.
#pragma once

#include "bus/pci/pci_function.h"
#include "devices/bridge/pam_smram.h"

namespace rhea::devices {

class I440fx final : public bus::pci::PciFunction {
 public:
  struct Wiring {
    HostBridgeListener* board = nullptr;
  };
  explicit I440fx(const Wiring& wiring);

  std::string_view name() const override { return "i440FX"; }
  void reset(bus::ResetKind kind) override;
  void state(bus::StateVisitor& v) override;

 protected:
  void config_written(unsigned offset, unsigned size) override { map_.written(offset, size); }

 private:
  PamSmram map_;
};

}  // namespace rhea::devices
