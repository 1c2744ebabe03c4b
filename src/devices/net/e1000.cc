#include "devices/net/e1000.h"

#include <fmt/core.h>

#include <algorithm>

#include "base/log.h"

namespace rhea::devices {

using namespace e1000;

namespace {

constexpr int64_t kThrottleUnitNs = 256;

bool within(uint32_t offset, uint32_t first, uint32_t end) {
  return offset >= first && offset < end;
}

}  // namespace

E1000::E1000(Wiring wiring)
    : E1000(std::move(wiring), {.name = "e1000",
                                .device_id = 0x100e,
                                .phy_id = 0x0c20,
                                .revision = 3,
                                .registers_end = kRegistersEnd,
                                .interrupts = 0x0001ffff,
                                .status = kStatusAsdv1000 | 0x400,
                                .express = false}) {
  add_bar(1, bus::pci::BarKind::Io, kPortsSize, window_);
}

E1000::E1000(Wiring wiring, const Model& model)
    : PciFunction({.vendor = 0x8086,
                   .device = model.device_id,
                   .revision = model.revision,
                   .class_code = 0x020000,
                   .subsystem_vendor = model.express ? uint16_t{0x8086} : uint16_t{0x1af4},
                   .subsystem = model.express ? uint16_t{0} : uint16_t{0x1100},
                   .interrupt_pin = 1}),
      model_(model),
      clock_(wiring.clock),
      rom_(std::move(wiring.rom)),
      registers_(model.registers_end / 4),
      eeprom_(wiring.mac, model.device_id),
      phy_(model.phy_id),
      frame_(net::kLargestFrame) {
  add_bar(0, bus::pci::BarKind::Memory32, kMemorySize, *this);
  if (rom_) add_rom(*rom_);
  throttle_ = clock_.make_timer([this] { update_interrupt(); });
  more_ = clock_.make_timer([this] { transmit(); });
}

E1000::~E1000() = default;

std::string E1000::End::info() const {
  return fmt::format("index=0,type=nic,model={},macaddr={}", nic_.model_.name,
                     net::mac_text(nic_.eeprom_.mac()));
}

void E1000::reset(bus::ResetKind kind) {
  eeprom_.reset();
  phy_.reset();
  window_.address = 0;
  soft_reset();
  PciFunction::reset(kind);
}

// CTRL.RST and power-on. 13.4.1: the PHY and the EEPROM keep their state.
void E1000::soft_reset() {
  throttle_->cancel();
  more_->cancel();
  std::ranges::fill(registers_, 0u);
  next_interrupt_ = 0;
  frame_size_ = 0;
  frame_too_long_ = frame_begun_ = segmented_ = false;
  options_ = insert_offset_ = insert_start_ = first_command_ = 0;
  tag_ = 0;
  context_ = segment_context_ = {};
  reg(kCtrl) = kCtrlFullDuplex | kCtrlSpeed1000 | 0x00140000;
  reg(kLedctl) = 0x07061302;
  reg(kPba) = 0x00100030;
  reg(kManc) = 0x00002000;
  reg(kVet) = 0x8100;
  own_reset();
  load_mac();
  update_link();
  update_interrupt();
}

void E1000::load_mac() {
  const net::Mac mac = eeprom_.mac();
  reg(kRal) = static_cast<uint32_t>(mac[0] | mac[1] << 8 | mac[2] << 16) | static_cast<uint32_t>(mac[3])
                                                                               << 24;
  reg(kRal + 4) = static_cast<uint32_t>(mac[4] | mac[5] << 8) | kRahValid;
}

void E1000::update_link() {
  const bool up = end_.carrier();
  const bool before = (reg(kStatus) & kStatusLinkUp) != 0;
  phy_.set_link(up);
  reg(kStatus) = kStatusFullDuplex | kStatusSpeed1000 | model_.status;
  if (up) reg(kStatus) |= kStatusLinkUp;
  if (up != before) cause(kIntLsc);
  if (up) end_.flush_queued();
}

void E1000::cause(uint32_t bits) {
  reg(kIcr) |= bits & model_.interrupts;
  if (announce(bits & model_.interrupts)) return;
  update_interrupt();
}

// The pin, not more often than ITR says (13.4.18).
void E1000::update_interrupt() {
  const bool wanted = (reg(kIcr) & reg(kIms)) != 0;
  if (!wanted) throttle_->cancel();
  if (wanted == asserted_) return;
  const uint32_t interval = reg(kItr) & 0xffff;
  if (wanted && interval != 0) {
    const int64_t now = clock_.now_ns();
    if (now < next_interrupt_) {
      if (!throttle_->armed()) throttle_->arm(next_interrupt_);
      return;
    }
    next_interrupt_ = now + interval * kThrottleUnitNs;
  }
  asserted_ = wanted;
  drive_interrupt(wanted);
}

void E1000::write_control(uint32_t value) {
  reg(kCtrl) = value & ~(kCtrlReset | kCtrlPhyReset);
  if ((value & kCtrlPhyReset) != 0) phy_.reset();
  if ((value & kCtrlReset) != 0) soft_reset();
}

void E1000::write_mdic(uint32_t value) {
  const unsigned index = value >> 16 & 31, phy = value >> 21 & 31, operation = value >> 26 & 3;
  uint32_t result = (value & ~kMdicError) | kMdicReady;
  if (phy != 1 || (operation != 1 && operation != 2)) {
    result |= kMdicError;
  } else if (operation == 2) {
    result = (result & 0xffff0000) | phy_.read(index);
  } else if (phy_.write(index, static_cast<uint16_t>(value))) {
    cause(kIntLsc);
  }
  reg(kMdic) = result;
  if ((value & kMdicInterrupt) != 0) cause(kIntMdac);
}

void E1000::write_ring(uint32_t offset, uint32_t value) {
  switch (offset) {
    case kRdbal:
    case kTdbal: reg(offset) = value & ~15u; break;
    case kRdlen:
    case kTdlen: reg(offset) = value & 0xfff80; break;
    case kRdh:
    case kTdh: reg(offset) = value & 0xffff; break;
    case kRdt:
      reg(offset) = value & 0xffff;
      end_.flush_queued();
      break;
    case kTdt:
      reg(offset) = value & 0xffff;
      transmit();
      break;
    default: reg(offset) = value; break;
  }
}

// Registers that hold what is written and do nothing else here.
bool E1000::write_plain(uint32_t offset, uint32_t value) {
  const bool plain =
      within(offset, kMta, kMtaEnd) || within(offset, kRal, kRalEnd) || within(offset, kVfta, kVftaEnd);
  if (plain) {
    reg(offset) = value;
    return true;
  }
  switch (offset) {
    case kRdtr: value &= 0xffff; break;  // the flush bit clears itself
    case kVet: value &= 0xffff; break;
    case kCtrlExt:
    case kFcal:
    case kFcah:
    case kFct:
    case kFcttv:
    case kTxcw:
    case kTipg:
    case kAit:
    case kLedctl:
    case kPba:
    case kFcrtl:
    case kFcrth:
    case kRxdctl:
    case kRadv:
    case kRsrpd:
    case kTidv:
    case kTxdctl:
    case kTadv:
    case kTspmt:
    case kRxcsum:
    case kWuc:
    case kWufc:
    case kManc:
    case kIpav: break;
    case kWus: value = reg(offset) & ~value; break;
    default: return false;
  }
  reg(offset) = value;
  return true;
}

void E1000::io_write(uint64_t at, unsigned, uint64_t wide) {
  const uint32_t offset = static_cast<uint32_t>(at) & ~3u, value = static_cast<uint32_t>(wide);
  if (own_write(offset, value)) return;
  switch (offset) {
    case kCtrl:
    case kCtrlDup: return write_control(value);
    case kEecd: return eeprom_.write_wires(value);
    case kEerd:
      reg(offset) = value & 0xff00;
      if ((value & kEerdStart) != 0)
        reg(offset) |= kEerdDone | static_cast<uint32_t>(eeprom_.word(value >> 8 & 0xff)) << 16;
      return;
    case kMdic: return write_mdic(value);
    case kIcr: reg(kIcr) &= ~value; return update_interrupt();
    case kIcs: return cause(value);
    case kIms: reg(kIms) |= value & model_.interrupts; return update_interrupt();
    case kImc: reg(kIms) &= ~value; return update_interrupt();
    case kItr: reg(kItr) = value & 0xffff; return update_interrupt();
    case kRctl: reg(kRctl) = value; return end_.flush_queued();
    case kTctl: reg(kTctl) = value; return transmit();
    case kRdbal:
    case kRdbah:
    case kRdlen:
    case kRdh:
    case kRdt:
    case kTdbal:
    case kTdbah:
    case kTdlen:
    case kTdh:
    case kTdt: return write_ring(offset, value);
    default: break;
  }
  if (!write_plain(offset, value)) guest_error("e1000: write of {:#x} to register {:#x}", value, offset);
}

uint64_t E1000::io_read(uint64_t at, unsigned) {
  const uint32_t offset = static_cast<uint32_t>(at) & ~3u;
  if (offset >= model_.registers_end) return 0;
  uint32_t own = 0;
  if (own_read(offset, own)) return own;
  switch (offset) {
    case kCtrlDup: return reg(kCtrl);
    case kEecd: return eeprom_.read_wires();
    case kIcr: {
      const uint32_t causes = std::exchange(reg(kIcr), 0);
      update_interrupt();
      return causes;
    }
    case kIcs: return reg(kIcr);
    case kImc: return 0;
    default: break;
  }
  if (within(offset, kStatistics, kStatisticsEnd)) return std::exchange(reg(offset), 0);
  return reg(offset);
}

uint64_t E1000::Window::io_read(uint64_t offset, unsigned size) {
  if (offset == 0) return address;
  return offset == 4 && address < kMemorySize ? nic_.io_read(address, size) : 0;
}

void E1000::Window::io_write(uint64_t offset, unsigned size, uint64_t value) {
  if (offset == 0) address = static_cast<uint32_t>(value) & ~3u;
  if (offset == 4 && address < kMemorySize) nic_.io_write(address, size, value);
}

void E1000::count(uint32_t statistic, uint32_t by) {
  uint32_t& value = reg(statistic);
  value = value > UINT32_MAX - by ? UINT32_MAX : value + by;
}

void E1000::count_bytes(uint32_t low, uint32_t bytes) {
  const uint64_t sum = (uint64_t{reg(low + 4)} << 32 | reg(low)) + bytes;
  reg(low) = static_cast<uint32_t>(sum);
  reg(low + 4) = static_cast<uint32_t>(sum >> 32);
}

void E1000::state(bus::StateVisitor& v) {
  PciFunction::state(v);
  v.enter("registers");
  for (uint32_t& value : registers_) v.field("register", value);
  v.leave();
  eeprom_.state(v);
  phy_.state(v);
  v.field("window", window_.address);
  v.field("next_interrupt", next_interrupt_);
  v.field("asserted", asserted_);
  v.bytes("frame", frame_);
  v.field("frame_size", frame_size_);
  v.field("frame_too_long", frame_too_long_);
  v.field("frame_begun", frame_begun_);
  v.field("segmented", segmented_);
  v.field("options", options_);
  v.field("insert_offset", insert_offset_);
  v.field("insert_start", insert_start_);
  v.field("first_command", first_command_);
  v.field("tag", tag_);
  for (Context* context : {&context_, &segment_context_}) {
    v.field("ip", context->ip);
    v.field("transport", context->transport);
    v.field("lengths", context->lengths);
    v.field("sizes", context->sizes);
  }
  if (!v.loading()) return;
  frame_size_ = std::min(frame_size_, static_cast<uint32_t>(frame_.size()));
  for (const uint32_t ring : {kRdh, kRdt, kTdh, kTdt}) reg(ring) &= 0xffff;
  for (const uint32_t length : {kRdlen, kTdlen}) reg(length) &= 0xfff80;
  throttle_->cancel();
  more_->cancel();
  if (((reg(kIcr) & reg(kIms)) != 0) != asserted_) throttle_->arm(clock_.now_ns());
  if (reg(kTdh) != reg(kTdt)) more_->arm(clock_.now_ns());
}

}  // namespace rhea::devices
