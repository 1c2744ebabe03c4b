// The memory controller hub of the Q35 chipset as its host bridge, function 0:0.0 of the "q35" board: the
// window of memory-mapped configuration space (PCIEXBAR), the programmable attribute map, compatible SMRAM
// and TSEG.
//
// Intel 316966-002: 5.1.11 PCIEXBAR, 5.1.13 PAM, 5.1.21 SMRAM, 5.1.22 ESMRAMC; QEMU's extension for a TSEG of
// another size at offset 0x50. Missing: MCHBAR, EPBAR and DMIBAR, high SMRAM, DRAM registers. Caller holds
// the machine lock.
#pragma once

#include <optional>

#include "bus/pci/ecam.h"
#include "bus/pci/pci_function.h"
#include "devices/bridge/io_window.h"
#include "devices/bridge/pam_smram.h"

namespace rhea::devices {

class Q35Mch final : public bus::pci::PciFunction {
 public:
  struct Wiring {
    bus::pci::PciBus& root;
    HostBridgeListener* board = nullptr;
    uint16_t extended_tseg_mib = 16;  // 0: there is no such TSEG
    bool smm = true;                  // false: there is no SMRAM
  };
  explicit Q35Mch(const Wiring& wiring);

  std::string_view name() const override { return "q35-mch"; }
  void reset(bus::ResetKind kind) override;
  void state(bus::StateVisitor& v) override;
  void update_mappings() override;

  struct Window {
    uint64_t base, size;
  };
  // Where configuration space is in memory, if the firmware has turned that on.
  std::optional<Window> mmconfig() const;

 protected:
  void config_written(unsigned offset, unsigned size) override;

 private:
  void define_lockable();
  void update_lock();
  void answer_tseg_query();
  void report_tseg();

  Wiring wiring_;
  PamSmram map_;
  bus::pci::Ecam ecam_;
  IoWindow window_{ecam_};
  bool locked_ = false;
};

}  // namespace rhea::devices
