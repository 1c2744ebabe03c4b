// The "pc" machine: 82441FX host bridge and 82371SB/AB south bridge.
#pragma once

#include "bus/pci/config_mechanism1.h"
#include "devices/ata/piix3_ide.h"
#include "devices/bridge/i440fx.h"
#include "devices/bridge/piix3.h"
#include "devices/bridge/piix4_pm.h"
#include "machine/pc/pc_board.h"
#include "machine/pc/pci_hotplug.h"

namespace rhea::machine {

class I440fxBoard final : public PcBoard {
 public:
  I440fxBoard(const PcConfig& config, const Wiring& wiring, std::unique_ptr<PcMemory> memory);
  void reset() override;
  void press_power_button() override { pm_.acpi().press_power_button(); }

 private:
  // The SCI shares ISA interrupt 9 with the PCI interrupt lines.
  struct SciSink final : bus::IrqSink {
    explicit SciSink(devices::Piix3& p) : piix3(p) {}
    void set_irq(unsigned pin, bool level) override { piix3.set_shared_isa(pin, level); }
    devices::Piix3& piix3;
  };

  Result<> add_chipset() override;
  PciLayout pci_layout() override { return {&pci_, "pci.0", 2}; }
  void describe(acpi::Config& config) override;

  devices::Piix3 piix3_;
  SciSink sci_{piix3_};
  bus::pci::PciBus pci_;
  bus::pci::ConfigMechanism1 pci_config_;
  devices::I440fx host_bridge_;
  devices::Piix3Ide ide_;
  devices::Piix4Pm pm_;
  PciHotplug hotplug_;
};

}  // namespace rhea::machine
