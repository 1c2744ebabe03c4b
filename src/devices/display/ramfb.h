// A frame buffer in the guest's own memory, which firmware describes through fw_cfg ("-device ramfb"): for
// the time before a driver.
//
// The file "etc/ramfb" of 28 bytes, all big-endian: address (8), fourcc, flags, width, height, stride (4
// each), as QEMU's docs/system and OVMF's QemuRamfbDxe use it. One format: XR24. Caller holds the machine
// lock.
#pragma once

#include <optional>

#include "bus/device.h"
#include "devices/display/linear_frame.h"
#include "devices/misc/fw_cfg.h"
#include "display/screen.h"
#include "memory/address_space.h"

namespace rhea::devices {

class Ramfb final : public bus::Device, public display::ScreenSource {
 public:
  struct Wiring {
    memory::AddressSpace& memory;
    FwCfg& fw_cfg;
    display::Screen* screen;  // null: nobody can look
  };
  explicit Ramfb(const Wiring& wiring);
  ~Ramfb() override;

  std::string_view name() const override { return "ramfb"; }
  void reset(bus::ResetKind kind) override;
  void state(bus::StateVisitor& v) override;
  std::optional<int64_t> refresh() override;

 private:
  void configured();
  const uint8_t* pixels() const;

  Wiring wiring_;
  uint64_t address_ = 0;
  uint32_t width_ = 0, height_ = 0, stride_ = 0;  // 0: not set up
  LinearFrame frame_;
  unsigned still_ = 0;
};

}  // namespace rhea::devices
