// The PCI VGA ("-device VGA"): BAR 0 is the frame buffer, BAR 2 the registers once more, the ROM the VGA
// BIOS. Ports and the window at 0xa0000 are always decoded.
//
// QEMU docs/specs/standard-vga. Missing: big-endian frame buffers, the legacy-free variant. Caller holds the
// machine lock.
#pragma once

#include <span>

#include "bus/pci/pci_function.h"
#include "devices/display/vga_core.h"

namespace rhea::devices {

class VgaPci final : public bus::pci::PciFunction {
 public:
  // rom: the VGA BIOS, at most 16 MiB, or empty for none.
  static Result<std::unique_ptr<VgaPci>> create(const VgaCore::Wiring& wiring,
                                                const VgaCore::Options& options,
                                                std::span<const uint8_t> rom);

  std::string_view name() const override { return "VGA"; }
  void reset(bus::ResetKind kind) override;
  void state(bus::StateVisitor& v) override;
  VgaCore& core() { return *core_; }

 private:
  VgaPci(std::unique_ptr<VgaCore> core, std::unique_ptr<memory::RamBlock> rom);

  std::unique_ptr<VgaCore> core_;
  std::unique_ptr<memory::RamBlock> rom_;
};

// The ROM of a PCI function: contents padded to a power of two. Null for no contents. Errors: Invalid (too
// large), NoSpace.
Result<std::unique_ptr<memory::RamBlock>> make_rom(std::span<const uint8_t> contents);

}  // namespace rhea::devices
