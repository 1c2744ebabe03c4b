// See ata_unit.h.
#include "devices/ata/ata_unit.h"

#include <algorithm>

#include "base/check.h"
#include "base/trace.h"
#include "devices/ata/ata_regs.h"

namespace rhea::devices {
namespace {

inline trace::Event<uint8_t, uint8_t, uint64_t, uint8_t> trace_ata_command{
    "ata_command", "opcode {:#04x} device {:#04x} address {:#x} count {:#x}"};
inline trace::Event<uint8_t, uint8_t> trace_ata_end{"ata_end", "status {:#04x} error {:#04x}"};

void visit(bus::StateVisitor& v, std::string_view name, AtaTaskFile::Set& set) {
  v.enter(name);
  v.field("feature", set.feature);
  v.field("count", set.count);
  v.field("lba_low", set.lba_low);
  v.field("lba_mid", set.lba_mid);
  v.field("lba_high", set.lba_high);
  v.leave();
}

}  // namespace

AtaUnit::~AtaUnit() {
  if (bus_ != nullptr) bus_->unplug(*this);
  if (drive_ != nullptr) drive_->detach();
}

void AtaUnit::connect(AtaBus* bus, AtaHost* host) {
  bus_ = bus;
  host_ = host;
}

void AtaUnit::command(uint8_t code) {
  trace_ata_command(code, task_.device, task_.lba48(), task_.now.count);
  const bool is_reset = code == ata::kDeviceReset && is_packet();
  if ((task_.status & (ata::kStatusBusy | ata::kStatusData)) != 0 && !is_reset) return;
  task_.error = 0;
  busy();
  execute(code);
}

void AtaUnit::soft_reset() {
  if (drive_ != nullptr) drive_->cancel_all();
  cancel_command();
  phase_ = Phase::Idle;
  pio_at_ = pio_end_ = 0;
  task_.device = 0;
  task_.error = 1;  // diagnostics passed
  set_signature();
}

void AtaUnit::reset(bus::ResetKind) {
  task_ = {};
  pio_ = {};
  power_on();
  soft_reset();
}

void AtaUnit::state(bus::StateVisitor& v) {
  visit(v, "now", task_.now);
  visit(v, "before", task_.before);
  v.field("device", task_.device);
  v.field("status", task_.status);
  v.field("error", task_.error);
  v.field("phase", phase_);
  v.field("pio_at", pio_at_);
  v.field("pio_end", pio_end_);
  v.bytes("pio", pio_);
  if (!v.loading()) return;
  if (drive_ != nullptr) drive_->cancel_all();
  if (phase_ > Phase::DmaFromGuest) phase_ = Phase::Idle;
  pio_end_ = std::min<uint32_t>(pio_end_, kPioBytes);
  pio_at_ = std::min(pio_at_, pio_end_);
}

std::span<uint8_t> AtaUnit::pio_window() {
  if (phase_ != Phase::PioToGuest && phase_ != Phase::PioFromGuest) return {};
  return std::span(pio_).subspan(pio_at_, pio_end_ - pio_at_);
}

void AtaUnit::pio_moved(size_t bytes) {
  pio_at_ += static_cast<uint32_t>(std::min<size_t>(bytes, pio_end_ - pio_at_));
  if (pio_at_ != pio_end_) return;
  busy();
  pio_done();
}

void AtaUnit::dma_go() {
  if (dma_pending()) dma_step();
}

void AtaUnit::busy() {
  phase_ = Phase::Busy;
  task_.status = ata::kStatusBusy | ata::kStatusReady | ata::kStatusSeek;
}

void AtaUnit::interrupt() {
  if (host_ != nullptr) host_->unit_interrupt(*this);
}

void AtaUnit::end_silently() {
  phase_ = Phase::Idle;
  task_.status = ata::kStatusReady | ata::kStatusSeek;
}

void AtaUnit::end() {
  trace_ata_end(0x50, 0);
  end_silently();
  interrupt();
}

void AtaUnit::end_with_error(uint8_t error) {
  trace_ata_end(0x51, error);
  end_silently();
  task_.status |= ata::kStatusError;
  task_.error = error;
  interrupt();
}

void AtaUnit::give_block(size_t begin, size_t bytes, bool with_interrupt) {
  CHECK(bytes != 0 && begin <= kPioBytes && bytes <= kPioBytes - begin);
  pio_at_ = static_cast<uint32_t>(begin);
  pio_end_ = static_cast<uint32_t>(begin + bytes);
  phase_ = Phase::PioToGuest;
  task_.status = ata::kStatusReady | ata::kStatusSeek | ata::kStatusData;
  if (with_interrupt) interrupt();
  if (host_ != nullptr) host_->unit_pio_ready(*this);
}

void AtaUnit::take_block(size_t bytes, bool with_interrupt) {
  CHECK(bytes != 0 && bytes <= kPioBytes);
  pio_at_ = 0;
  pio_end_ = static_cast<uint32_t>(bytes);
  phase_ = Phase::PioFromGuest;
  task_.status = ata::kStatusReady | ata::kStatusSeek | ata::kStatusData;
  if (with_interrupt) interrupt();
  if (host_ != nullptr) host_->unit_pio_ready(*this);
}

void AtaUnit::begin_dma(bool to_guest) {
  phase_ = to_guest ? Phase::DmaToGuest : Phase::DmaFromGuest;
  task_.status = ata::kStatusReady | ata::kStatusSeek | ata::kStatusData;
  if (host_ != nullptr && host_->dma_ready(*this)) dma_step();
}

// A request that was cancelled may still use the old one.
AtaUnit::Buffer& AtaUnit::bounce(size_t bytes) {
  if (!bounce_ || bounce_.use_count() != 1) bounce_ = std::make_shared<std::vector<uint8_t>>();
  if (bounce_->size() < bytes) bounce_->resize(bytes);
  return bounce_;
}

}  // namespace rhea::devices
