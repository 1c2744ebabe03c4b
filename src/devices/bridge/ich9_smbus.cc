#include "devices/bridge/ich9_smbus.h"

namespace rhea::devices {

namespace {
constexpr unsigned kHostConfig = 0x40;
constexpr uint8_t kHostEnable = 0x01;
constexpr unsigned kRegisterBar = 4;
constexpr uint64_t kPorts = 64;
}  // namespace

Ich9Smbus::Ich9Smbus()
    : PciFunction(
          {.vendor = 0x8086, .device = 0x2930, .revision = 2, .class_code = 0x0c0500, .interrupt_pin = 1}) {
  using namespace bus::pci;
  define16(kStatus, kStatusFastBackToBack | kStatusDevselMedium);
  define8(kHostConfig, 0, 0x07);
  add_bar(kRegisterBar, BarKind::Io, kPorts, gate_);
}

void Ich9Smbus::reset(bus::ResetKind kind) {
  host_.reset();
  PciFunction::reset(kind);
}

void Ich9Smbus::state(bus::StateVisitor& v) {
  PciFunction::state(v);
  host_.state(v);
}

bool Ich9Smbus::on() const {
  return (config8(kHostConfig) & kHostEnable) != 0;
}

uint64_t Ich9Smbus::Gate::io_read(uint64_t offset, unsigned size) {
  return owner.on() ? owner.host_.io_read(offset, size) : 0xff;
}

void Ich9Smbus::Gate::io_write(uint64_t offset, unsigned size, uint64_t value) {
  if (owner.on()) owner.host_.io_write(offset, size, value);
}

}  // namespace rhea::devices
