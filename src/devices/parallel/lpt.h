// A parallel port as PCs have it: data, status and control register, compatibility mode towards a printer
// that is always on line.
//
// IEEE Std 1284-1994, 6.2 (compatibility mode) and annex on the PC's registers; IBM PC AT Technical
// Reference, "Parallel printer adapter". The strobe takes the byte over; as long as the back end takes no
// more, the printer is busy. Missing: EPP, ECP, input through the data lines. Caller holds the machine lock.
#pragma once

#include <cstdint>

#include "bus/device.h"
#include "bus/irq.h"
#include "chardev/chardev.h"
#include "memory/io_handler.h"

namespace rhea::devices {

class Lpt final : public bus::Device, public memory::IoHandler, public chardev::Frontend {
 public:
  struct Wiring {
    bus::IrqLine irq;
    chardev::Chardev* backend = nullptr;  // null: what is printed is lost
  };
  explicit Lpt(const Wiring& wiring);
  ~Lpt() override;

  static constexpr uint64_t kIoSize = 3;

  std::string_view name() const override { return "parallel"; }
  void reset(bus::ResetKind kind) override;
  void state(bus::StateVisitor& v) override;
  uint64_t io_read(uint64_t offset, unsigned size) override;
  void io_write(uint64_t offset, unsigned size, uint64_t value) override;
  memory::IoTraits io_traits() const override { return {.min = 1, .max = 1}; }

  size_t can_receive() override { return 4096; }  // a printer says nothing that anybody could read
  void receive(std::span<const uint8_t>) override {}
  void output_ready() override;

 private:
  void print();

  Wiring wiring_;
  uint8_t data_ = 0, control_ = 0;
  bool waiting_ = false;  // data_ was not taken yet
};

}  // namespace rhea::devices
