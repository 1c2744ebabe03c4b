#include "devices/bridge/i440fx.h"

namespace rhea::devices {

I440fx::I440fx(const Wiring& wiring)
    : PciFunction({.vendor = 0x8086, .device = 0x1237, .revision = 2, .class_code = 0x060000}),
      map_(*this, {.pam0 = 0x59, .smram = 0x72}, wiring.board) {
  using namespace bus::pci;
  // 3.2.3: memory and bus master cannot be turned off.
  define16(kCommand, kCommandMemory | kCommandMaster, kCommandSerr | kCommandParity);
  define16(kStatus, kStatusFastBackToBack | kStatusDevselMedium);
  define8(kLatencyTimer, 0, 0xf8);
  for (unsigned offset = 0x50; offset < 0x59; ++offset)
    define8(offset, 0, 0xff);  // PMC configuration, timing
  for (unsigned offset = 0x60; offset < 0x68; ++offset) define8(offset, 0, 0xff);  // DRAM row boundaries
}

void I440fx::reset(bus::ResetKind kind) {
  PciFunction::reset(kind);
  map_.reset();
}

void I440fx::state(bus::StateVisitor& v) {
  PciFunction::state(v);
  if (v.loading()) map_.loaded();
}

}  // namespace rhea::devices
