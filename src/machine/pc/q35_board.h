// The "q35" machine: Q35 memory controller hub and ICH9 I/O controller hub.
#pragma once

#include "bus/pci/config_mechanism1.h"
#include "devices/bridge/ich9_lpc.h"
#include "devices/bridge/ich9_smbus.h"
#include "devices/bridge/q35_mch.h"
#include "machine/pc/pc_board.h"
#include "machine/pc/pci_hotplug.h"

namespace rhea::machine {

class Q35Board final : public PcBoard {
 public:
  Q35Board(const PcConfig& config, const Wiring& wiring, std::unique_ptr<PcMemory> memory);
  void reset() override;
  void press_power_button() override { lpc_.acpi().press_power_button(); }

 private:
  Result<> add_chipset() override;
  PciLayout pci_layout() override { return {&pci_, "pcie.0", 1}; }
  void describe(acpi::Config& config) override;
  void raise_smi() override;
  void offer_smi_features();

  devices::Ich9Lpc lpc_;
  bus::pci::PciBus pci_;
  bus::pci::ConfigMechanism1 pci_config_;
  devices::Q35Mch mch_;
  devices::Ich9Smbus smbus_;
  PciHotplug hotplug_;
  bool smi_features_settled_ = false;
  bool smi_broadcast_ = false;  // the firmware has asked for SMIs to all vCPUs
};

}  // namespace rhea::machine
