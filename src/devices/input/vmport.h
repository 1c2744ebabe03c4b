// The port through which guests talk to a VMware hypervisor, and the absolute mouse behind it: pointers on
// VNC then agree with the guest's without a USB tablet.
//
// As used by Linux's and VMware's published drivers (vmmouse, open-vm-tools): an IN of 32 bits from port
// 0x5658 with EAX = "VMXh" and a command in CX; answers in the general registers. Only the commands named
// below. Caller holds the machine lock.
#pragma once

#include <array>
#include <cstdint>
#include <functional>

#include "bus/device.h"
#include "display/input.h"
#include "memory/io_handler.h"

namespace rhea::devices {

class VmPort final : public bus::Device, public memory::IoHandler, public display::PointerSink {
 public:
  static constexpr uint16_t kPort = 0x5658;
  static constexpr uint64_t kIoSize = 4;
  struct Wiring {
    // The general registers (in the order of their encodings) of the vCPU that is at the port; null: unknown.
    std::function<uint64_t*()> registers;
    // Makes the PS/2 mouse say something, by which the guest's driver knows that there is news here.
    std::function<void()> signal;
    display::InputHub* input = nullptr;
    uint64_t ram_bytes = 0;
  };
  explicit VmPort(Wiring wiring);
  ~VmPort() override;
  VmPort(const VmPort&) = delete;
  VmPort& operator=(const VmPort&) = delete;

  std::string_view name() const override { return "vmport"; }
  void reset(bus::ResetKind kind) override;
  void state(bus::StateVisitor& v) override;
  uint64_t io_read(uint64_t offset, unsigned size) override;
  void io_write(uint64_t offset, unsigned size, uint64_t value) override;
  memory::IoTraits io_traits() const override { return {.min = 1, .max = 4}; }

  std::string_view input_name() const override { return "vmmouse"; }
  bool takes_places() const override { return true; }
  void motion(int, int) override {}
  void place(int x, int y) override;
  void button(display::Button button, bool down) override;
  void wheel(int dz, int dw) override;
  void sync() override;

 private:
  static constexpr uint32_t kCapacity = 1024, kPacket = 4;
  void pointer_command(uint32_t what);
  void pointer_data(uint64_t* registers);
  void set_absolute(bool on);
  void push(uint32_t word);

  Wiring wiring_;
  std::array<uint32_t, kCapacity> queue_{};
  uint32_t head_ = 0, count_ = 0;
  bool enabled_ = false, failed_ = false, absolute_ = false;
  bool registered_ = false;  // with the input hub
  uint32_t buttons_ = 0;
  uint16_t x_ = 0, y_ = 0;
  int32_t wheel_ = 0;
};

}  // namespace rhea::devices
