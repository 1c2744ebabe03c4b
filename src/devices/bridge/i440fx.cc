#include "devices/bridge/i440fx.h"

namespace rhea::devices {

namespace {

constexpr unsigned kPam0 = 0x59;
constexpr unsigned kPam6 = 0x5f;
constexpr unsigned kSmram = 0x72;

// 3.2.17: attribute bits of a nibble.
constexpr unsigned kReadEnable = 1, kWriteEnable = 2;
// 3.2.24. C_BASE_SEG is fixed at 010: 0xA0000.
constexpr uint8_t kOpen = 0x40, kClosed = 0x20, kLock = 0x10, kEnable = 0x08, kBaseSegment = 0x02;
constexpr uint8_t kSmramWritable = kOpen | kClosed | kLock | kEnable;

}  // namespace

I440fx::I440fx(const Wiring& wiring)
    : PciFunction({.vendor = 0x8086, .device = 0x1237, .revision = 2, .class_code = 0x060000}),
      wiring_(wiring) {
  using namespace bus::pci;
  // 3.2.3: memory and bus master cannot be turned off.
  define16(kCommand, kCommandMemory | kCommandMaster, kCommandSerr | kCommandParity);
  define16(kStatus, kStatusFastBackToBack | kStatusDevselMedium);
  define8(kLatencyTimer, 0, 0xf8);
  for (unsigned offset = 0x50; offset < 0x59; ++offset)
    define8(offset, 0, 0xff);  // PMC configuration, timing
  for (unsigned offset = kPam0; offset <= kPam6; ++offset) define8(offset, 0, offset == kPam0 ? 0x30 : 0x33);
  for (unsigned offset = 0x60; offset < 0x68; ++offset) define8(offset, 0, 0xff);  // DRAM row boundaries
  define8(kSmram, kBaseSegment, kSmramWritable);
}

void I440fx::reset(bus::ResetKind kind) {
  PciFunction::reset(kind);
  locked_ = false;
  define8(kSmram, kBaseSegment, kSmramWritable);
  report_all();
}

void I440fx::state(bus::StateVisitor& v) {
  PciFunction::state(v);
  if (!v.loading()) return;
  const uint8_t smram = config8(kSmram);
  locked_ = (smram & kLock) != 0;
  define8(kSmram, kBaseSegment, locked_ ? uint8_t{0} : kSmramWritable);
  set_config8(kSmram, static_cast<uint8_t>((smram & kSmramWritable) | kBaseSegment));
  report_all();
}

void I440fx::lock_smram() {
  const uint8_t smram = config8(kSmram);
  if (locked_ || (smram & kLock) == 0) return;
  // 3.2.24: setting the lock clears open and makes all but closed read-only until reset.
  locked_ = true;
  define8(kSmram, kBaseSegment, kClosed);
  set_config8(kSmram, static_cast<uint8_t>(smram & ~kOpen));
}

void I440fx::config_written(unsigned offset, unsigned size) {
  for (unsigned i = offset; i < offset + size; ++i) {
    if (i >= kPam0 && i <= kPam6) report_pam(i);
    if (i == kSmram) {
      lock_smram();
      report_smram();
    }
  }
}

void I440fx::report_pam(unsigned offset) {
  if (wiring_.board == nullptr) return;
  const unsigned value = config8(offset);
  const unsigned high = value >> 4;
  if (offset == kPam0) {
    wiring_.board->pam_changed(0xf0000, 0x10000, (high & kReadEnable) != 0, (high & kWriteEnable) != 0);
    return;
  }
  const uint32_t start = 0xc0000 + (offset - kPam0 - 1) * 0x8000;
  wiring_.board->pam_changed(start, 0x4000, (value & kReadEnable) != 0, (value & kWriteEnable) != 0);
  wiring_.board->pam_changed(start + 0x4000, 0x4000, (high & kReadEnable) != 0, (high & kWriteEnable) != 0);
}

void I440fx::report_smram() {
  if (wiring_.board == nullptr) return;
  const uint8_t smram = config8(kSmram);
  const bool enabled = (smram & kEnable) != 0;
  wiring_.board->smram_changed(enabled, enabled && (smram & kOpen) != 0, enabled && (smram & kClosed) != 0);
}

void I440fx::report_all() {
  for (unsigned offset = kPam0; offset <= kPam6; ++offset) report_pam(offset);
  report_smram();
}

}  // namespace rhea::devices
