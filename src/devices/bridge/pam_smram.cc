#include "devices/bridge/pam_smram.h"

namespace rhea::devices {

namespace {

constexpr unsigned kRegisters = 7;

// 3.2.17: attribute bits of a nibble.
constexpr unsigned kReadEnable = 1, kWriteEnable = 2;
// 3.2.24. C_BASE_SEG is fixed at 010: 0xA0000.
constexpr uint8_t kOpen = 0x40, kClosed = 0x20, kLock = 0x10, kEnable = 0x08, kBaseSegment = 0x02;
constexpr uint8_t kWritable = kOpen | kClosed | kLock | kEnable;

}  // namespace

PamSmram::PamSmram(bus::pci::PciFunction& bridge, const Placement& at, HostBridgeListener* listener)
    : bridge_(bridge), at_(at), listener_(listener) {
  for (unsigned i = 0; i < kRegisters; ++i) bridge_.define8(at_.pam0 + i, 0, i == 0 ? 0x30 : 0x33);
  bridge_.define8(at_.smram, kBaseSegment, kWritable);
}

void PamSmram::reset() {
  locked_ = false;
  bridge_.define8(at_.smram, kBaseSegment, kWritable);
  report_all();
}

void PamSmram::loaded() {
  const uint8_t smram = bridge_.config8(at_.smram);
  locked_ = (smram & kLock) != 0;
  bridge_.define8(at_.smram, kBaseSegment, locked_ ? uint8_t{0} : kWritable);
  bridge_.set_config8(at_.smram, static_cast<uint8_t>((smram & kWritable) | kBaseSegment));
  report_all();
}

void PamSmram::lock() {
  const uint8_t smram = bridge_.config8(at_.smram);
  if (locked_ || (smram & kLock) == 0) return;
  // 3.2.24: setting the lock clears open and makes all but closed read-only until reset.
  locked_ = true;
  bridge_.define8(at_.smram, kBaseSegment, kClosed);
  bridge_.set_config8(at_.smram, static_cast<uint8_t>(smram & ~kOpen));
}

void PamSmram::written(unsigned offset, unsigned size) {
  for (unsigned i = offset; i < offset + size; ++i) {
    if (i >= at_.pam0 && i < at_.pam0 + kRegisters) report_pam(i - at_.pam0);
    if (i == at_.smram) {
      lock();
      report_smram();
    }
  }
}

bool PamSmram::enabled() const {
  return (bridge_.config8(at_.smram) & kEnable) != 0;
}

void PamSmram::report_pam(unsigned index) {
  if (listener_ == nullptr) return;
  const unsigned value = bridge_.config8(at_.pam0 + index);
  const unsigned high = value >> 4;
  if (index == 0) {
    listener_->pam_changed(0xf0000, 0x10000, (high & kReadEnable) != 0, (high & kWriteEnable) != 0);
    return;
  }
  const uint32_t start = 0xc0000 + (index - 1) * 0x8000;
  listener_->pam_changed(start, 0x4000, (value & kReadEnable) != 0, (value & kWriteEnable) != 0);
  listener_->pam_changed(start + 0x4000, 0x4000, (high & kReadEnable) != 0, (high & kWriteEnable) != 0);
}

void PamSmram::report_smram() {
  if (listener_ == nullptr) return;
  const uint8_t smram = bridge_.config8(at_.smram);
  listener_->smram_changed(enabled(), enabled() && (smram & kOpen) != 0, enabled() && (smram & kClosed) != 0);
}

void PamSmram::report_all() {
  for (unsigned i = 0; i < kRegisters; ++i) report_pam(i);
  report_smram();
}

}  // namespace rhea::devices
