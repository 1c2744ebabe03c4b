// The "isapc" machine: a PC of before PCI, without ACPI and I/O APIC. Its two IDE channels do PIO only.
#pragma once

#include "devices/ata/ide_channel.h"
#include "machine/pc/pc_board.h"

namespace rhea::machine {

class IsaPcBoard final : public PcBoard {
 public:
  IsaPcBoard(const PcConfig& config, const Wiring& wiring, std::unique_ptr<PcMemory> memory);
  void reset() override;

 private:
  // A channel as a device of the board.
  struct Ide final : bus::Device {
    Ide(const bus::IrqLine& irq, const std::string& boot_path)
        : channel({.irq = irq, .master = nullptr, .boot_path = boot_path}) {}
    std::string_view name() const override { return "isa-ide"; }
    void reset(bus::ResetKind) override { channel.reset(); }
    void state(bus::StateVisitor& v) override { channel.state(v); }
    devices::IdeChannel channel;
  };

  Result<> add_chipset() override;
  PciLayout pci_layout() override { return {}; }
  void describe(acpi::Config&) override {}

  Ide ide_[2];
};

}  // namespace rhea::machine
