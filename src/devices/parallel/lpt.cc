#include "devices/parallel/lpt.h"

#include <array>

namespace rhea::devices {

namespace {
constexpr uint64_t kData = 0, kStatus = 1, kControl = 2;
// Status: busy is inverted, acknowledge is low while it lasts.
constexpr uint8_t kNotBusy = 0x80, kAckIdle = 0x40, kSelected = 0x10, kNoFault = 0x08, kUnused = 0x07;
// Control: strobe, automatic line feed and select are inverted on the wire, which nobody sees.
constexpr uint8_t kStrobe = 0x01, kInit = 0x04, kSelectIn = 0x08, kIrqEnable = 0x10, kInput = 0x20;
constexpr uint8_t kControlBits = 0x3f, kControlOnes = 0xc0;
}  // namespace

Lpt::Lpt(const Wiring& wiring) : wiring_(wiring) {
  if (wiring_.backend != nullptr) wiring_.backend->attach(this);
  reset(bus::ResetKind::Cold);
}

Lpt::~Lpt() {
  if (wiring_.backend != nullptr) wiring_.backend->attach(nullptr);
}

void Lpt::reset(bus::ResetKind) {
  data_ = 0;
  control_ = kInit | kSelectIn;
  waiting_ = false;
  wiring_.irq.set(false);
}

void Lpt::state(bus::StateVisitor& v) {
  v.field("data", data_);
  v.field("control", control_);
  v.field("waiting", waiting_);
  control_ &= kControlBits;
}

uint64_t Lpt::io_read(uint64_t offset, unsigned) {
  switch (offset) {
    case kData: return (control_ & kInput) != 0 ? 0xff : data_;
    case kStatus:
      return static_cast<uint8_t>((waiting_ ? 0 : kNotBusy) | kAckIdle | kSelected | kNoFault | kUnused);
    case kControl: return control_ | kControlOnes;
    default: return 0xff;
  }
}

void Lpt::io_write(uint64_t offset, unsigned, uint64_t value) {
  auto byte = static_cast<uint8_t>(value);
  if (offset == kData) data_ = byte;
  if (offset != kControl) return;
  bool strobed = (byte & kStrobe) != 0 && (control_ & kStrobe) == 0;
  control_ = byte & kControlBits;
  if (strobed && (control_ & kInit) != 0 && !waiting_) {
    waiting_ = true;
    print();
  }
}

// The acknowledgement comes at once, as a pulse.
void Lpt::print() {
  const std::array<uint8_t, 1> byte = {data_};
  if (wiring_.backend != nullptr && wiring_.backend->write(byte) == 0) return;
  waiting_ = false;
  if ((control_ & kIrqEnable) != 0) wiring_.irq.pulse();
}

void Lpt::output_ready() {
  if (waiting_) print();
}

}  // namespace rhea::devices
