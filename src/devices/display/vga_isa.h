// The ISA VGA ("-device isa-vga"): ports, the window at 0xa0000 and the linear frame buffer at a fixed
// address. Its BIOS is given to the firmware by the board.
//
// QEMU docs/specs/standard-vga. Caller holds the machine lock.
#pragma once

#include "devices/display/vga_core.h"

namespace rhea::devices {

class VgaIsa final : public bus::Device {
 public:
  static constexpr uint64_t kFrameBuffer = 0xe0000000;

  explicit VgaIsa(std::unique_ptr<VgaCore> core) : core_(std::move(core)) {}
  std::string_view name() const override { return "isa-vga"; }
  void reset(bus::ResetKind) override { core_->reset(); }
  void state(bus::StateVisitor& v) override { core_->state(v); }
  VgaCore& core() { return *core_; }

 private:
  std::unique_ptr<VgaCore> core_;
};

}  // namespace rhea::devices
