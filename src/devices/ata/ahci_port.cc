// See ahci_port.h. Registers and the life of a command; FISes and data are ahci_fis.cc.
#include "devices/ata/ahci_port.h"

#include <algorithm>

#include "base/log.h"
#include "base/trace.h"
#include "devices/ata/ata_regs.h"

namespace rhea::devices {

using namespace ahci;

namespace {

inline trace::Event<unsigned, unsigned, uint8_t> trace_command{"ahci_command",
                                                               "port {} slot {} opcode {:#04x}"};

constexpr uint8_t kReadLogExt = 0x2f;
// Offsets in a host to device FIS.
constexpr unsigned kFlags = 1, kCommandByte = 2, kFeature = 3, kLba = 4, kDevice = 7, kLbaBefore = 8,
                   kFeatureBefore = 11, kCount = 12, kCountBefore = 13, kControlByte = 15;

}  // namespace

AhciPort::AhciPort(Wiring wiring) : wiring_(std::move(wiring)) {
  reset();
}

AhciPort::~AhciPort() {
  if (unit_ == nullptr) return;
  if (unit_->drive() != nullptr) unit_->drive()->cancel_all();
  unit_->connect(nullptr, nullptr);
}

void AhciPort::plug(AtaUnit& unit, unsigned) {
  unit_ = &unit;
  unit.connect(this, this);
  link_reset();
}

void AhciPort::unplug(AtaUnit& unit) {
  unit.connect(nullptr, nullptr);
  unit_ = nullptr;
  stop_engine();
  link_reset();
}

std::string AhciPort::boot_path(unsigned) const {
  if (!wiring_.boot_path) return {};
  return wiring_.boot_path() + "/drive@" + std::to_string(wiring_.number) + "/disk@0";
}

void AhciPort::reset() {
  list_ = list_upper_ = fis_ = fis_upper_ = 0;
  interrupts_ = enabled_ = sata_control_ = sata_error_ = 0;
  stop_engine();
  command_ = kSpinUp | kPowerOn;
  resetting_ = false;
  last_slot_ = kSlots - 1;
  error_log_ = {};
  link_reset();
  interrupts_ = sata_error_ = 0;
}

void AhciPort::state(bus::StateVisitor& v) {
  v.field("list", list_);
  v.field("list_upper", list_upper_);
  v.field("fis", fis_);
  v.field("fis_upper", fis_upper_);
  v.field("interrupts", interrupts_);
  v.field("enabled", enabled_);
  v.field("command", command_);
  v.field("task", task_);
  v.field("signature", signature_);
  v.field("sata_control", sata_control_);
  v.field("sata_error", sata_error_);
  v.field("active", active_bits_);
  v.field("issued", issued_);
  v.field("halted", halted_);
  v.field("resetting", resetting_);
  v.field("last_slot", last_slot_);
  v.bytes("error_log", error_log_);
  if (!v.loading()) return;
  active_.reset();
  queued_ = 0;
  ++generation_;
  last_slot_ %= kSlots;
}

uint32_t AhciPort::read(unsigned reg) const {
  switch (reg) {
    case kListBase: return list_;
    case kListBaseUpper: return list_upper_;
    case kFisBase: return fis_;
    case kFisBaseUpper: return fis_upper_;
    case kPortInterrupts: return interrupts_;
    case kPortInterruptEnable: return enabled_;
    case kPortCommand: return command_ | (active_ ? active_->number << kSlotShift : 0);
    case kTaskFile: return task_;
    case kSignature: return signature_;
    case kSataStatus: return unit_ != nullptr && (sata_control_ & kDetectMask) != kDetectReset ? kLinkUp : 0;
    case kSataControl: return sata_control_;
    case kSataError: return sata_error_;
    case kSataActive: return active_bits_;
    case kCommandIssue: return issued_;
    default: return 0;
  }
}

void AhciPort::write(unsigned reg, uint32_t value) {
  switch (reg) {
    case kListBase: list_ = value & ~0x3ffu; break;
    case kListBaseUpper: list_upper_ = value; break;
    case kFisBase: fis_ = value & ~0xffu; break;
    case kFisBaseUpper: fis_upper_ = value; break;
    case kPortInterrupts:
      interrupts_ &= ~(value & kIntClearable);
      wiring_.changed(false);
      break;
    case kPortInterruptEnable:
      enabled_ = value & kIntEnableBits;
      wiring_.changed(true);
      break;
    case kPortCommand: write_command(value); break;
    case kSataControl: write_sata_control(value); break;
    case kSataError:
      sata_error_ &= ~value;
      if ((value & kErrorExchanged) != 0) interrupts_ &= ~kIntConnect;
      wiring_.changed(false);
      break;
    case kSataActive:
      if ((command_ & kStart) != 0) active_bits_ |= value;
      break;
    case kCommandIssue:
      if ((command_ & kStart) == 0) break;
      issued_ |= value;
      process();
      break;
    default: guest_error("ahci: write of {:#x} to port register {:#x}", value, reg); break;
  }
}

// 3.3.7. The engines start and stop at once.
void AhciPort::write_command(uint32_t value) {
  const uint32_t before = command_;
  command_ = (command_ & ~kCommandWritable) | (value & kCommandWritable) | kSpinUp | kPowerOn;
  command_ = (command_ & ~kFisRunning) | ((command_ & kFisEnable) != 0 ? kFisRunning : 0);
  if ((command_ & ~before & kFisEnable) != 0 && unit_ != nullptr && !active_) post_d2h();
  if ((command_ & kStart) != 0) {
    command_ |= kListRunning;
    if ((before & kStart) == 0) halted_ = false;
    process();
  } else if ((before & kStart) != 0) {
    stop_engine();
  }
}

void AhciPort::stop_engine() {
  if ((active_ || queued_ != 0) && unit_ != nullptr) {
    active_.reset();
    unit_->soft_reset();
    renew_task_file();
  }
  active_.reset();
  queued_ = 0;
  ++generation_;
  command_ &= ~(kListRunning | kStart);
  issued_ = active_bits_ = 0;
  halted_ = false;
}

// 10.4.2: a one and then a zero in DET reset the device.
void AhciPort::write_sata_control(uint32_t value) {
  const bool was_reset = (sata_control_ & kDetectMask) == kDetectReset;
  sata_control_ = value & 0xfff;
  const bool is_reset = (sata_control_ & kDetectMask) == kDetectReset;
  if (is_reset && !was_reset) {
    task_ = kNoDeviceTask;
    signature_ = kNoSignature;
  }
  if (was_reset && !is_reset) link_reset();
}

void AhciPort::link_reset() {
  active_.reset();
  queued_ = 0;
  ++generation_;
  if (unit_ == nullptr) {
    task_ = kNoDeviceTask;
    signature_ = kNoSignature;
    return;
  }
  unit_->soft_reset();
  sata_error_ |= kErrorExchanged;
  interrupts_ |= kIntConnect;
  show_signature();
  wiring_.changed(true);
}

void AhciPort::show_signature() {
  const AtaTaskFile& task = unit_->task();
  signature_ = uint32_t{task.now.lba_high} << 24 | uint32_t{task.now.lba_mid} << 16 |
               uint32_t{task.now.lba_low} << 8 | task.now.count;
  command_ = (command_ & ~kAtapi) | (unit_->is_packet() ? kAtapi : 0);
  renew_task_file();
  post_d2h();
}

void AhciPort::renew_task_file() {
  task_ = unit_ != nullptr ? uint32_t{unit_->task().error} << 8 | unit_->task().status : kNoDeviceTask;
}

void AhciPort::raise(uint32_t bits) {
  interrupts_ |= bits;
  wiring_.changed(true);
}

void AhciPort::bus_error() {
  guest_error("ahci: port {} finds no RAM where its list, table or FISes should be", wiring_.number);
  halted_ = true;
  raise(kIntHostBus);
}

// Takes slots round robin. A command for the unit waits until nothing else is under way; queued commands wait
// for the unit.
void AhciPort::process() {
  if (processing_) return;
  processing_ = true;
  for (unsigned i = 0; i < kSlots && (command_ & kStart) != 0 && !halted_ && !active_; ++i) {
    const unsigned number = (last_slot_ + 1 + i) % kSlots;
    if ((issued_ >> number & 1) == 0 || (queued_ >> number & 1) != 0) continue;
    if (!wiring_.ram.attached()) break;
    std::optional<Slot> slot = fetch(number);
    if (!slot) {
      bus_error();
      break;
    }
    const uint8_t code = slot->fis[kCommandByte];
    const bool command = (slot->fis[kFlags] & kFisIsCommand) != 0;
    const bool native = command && unit_ != nullptr && !unit_->is_packet() &&
                        (code == ata::kReadFpdma || code == ata::kWriteFpdma);
    if (!native && queued_ != 0) continue;
    last_slot_ = number;
    i = ~0u;  // from here again
    if (native)
      issue_queued(std::move(*slot));
    else
      issue(std::move(*slot));
  }
  processing_ = false;
}

std::optional<AhciPort::Slot> AhciPort::fetch(unsigned number) {
  uint8_t header[16];
  if (!wiring_.ram.read(list_base() + uint64_t{number} * kHeaderBytes, header)) return std::nullopt;
  Slot slot;
  slot.number = number;
  slot.flags = load_le<uint32_t>(header);
  slot.table = load_le<uint64_t>(header + 8) & ~uint64_t{0x7f};
  slot.regions = {.table = slot.table + kTablePrdt, .count = slot.flags >> 16};
  if (!wiring_.ram.read(slot.table + kTableFis, slot.fis)) return std::nullopt;
  return slot;
}

void AhciPort::issue(Slot slot) {
  const unsigned number = slot.number;
  const bool whole = (slot.flags & kHeaderFisDwords) >= 5 && slot.fis[0] == kFisH2d;
  if (unit_ == nullptr || !whole) {
    guest_error("ahci: port {} slot {} has no FIS that a device takes", wiring_.number, number);
    issued_ &= ~(1u << number);
    return;
  }
  if ((slot.fis[kFlags] & kFisIsCommand) == 0) {
    control_fis(slot);
    issued_ &= ~(1u << number);
    return;
  }
  const uint8_t code = slot.fis[kCommandByte];
  trace_command(wiring_.number, number, code);
  if (code == kReadLogExt && !unit_->is_packet()) {
    read_error_log(std::move(slot));
    return;
  }
  load_task(slot);
  active_ = std::move(slot);
  task_ = ata::kStatusBusy;
  unit_->command(code);
  // A command that is over without an interrupt (a reset of a packet device).
  if (active_ && active_->number == number &&
      (unit_->task().status & (ata::kStatusBusy | ata::kStatusData)) == 0)
    complete(true);
}

// The device control register: a reset begins with SRST and ends without it.
void AhciPort::control_fis(const Slot& slot) {
  const bool reset = (slot.fis[kControlByte] & ata::kControlReset) != 0;
  if (resetting_ && !reset) {
    unit_->soft_reset();
    show_signature();
  } else if (reset) {
    task_ = ata::kStatusBusy;
  }
  resetting_ = reset;
}

void AhciPort::load_task(const Slot& slot) {
  AtaTaskFile& task = unit_->task();
  const auto& fis = slot.fis;
  task.now = {fis[kFeature], fis[kCount], fis[kLba], fis[kLba + 1], fis[kLba + 2]};
  task.before = {fis[kFeatureBefore], fis[kCountBefore], fis[kLbaBefore], fis[kLbaBefore + 1],
                 fis[kLbaBefore + 2]};
  task.device = fis[kDevice];
}

void AhciPort::complete(bool post_fis) {
  const Slot slot = std::move(*active_);
  active_.reset();
  issued_ &= ~(1u << slot.number);
  write_moved(slot);
  renew_task_file();
  const bool failed = (task_ & ata::kStatusError) != 0;
  if (failed) halted_ = true;
  if (post_fis) {
    post_d2h();
    interrupts_ |= kIntD2h;
  } else {
    interrupts_ |= kIntPioSetup;
  }
  raise(failed ? kIntTaskFile : 0);
  process();
}

// PRDBC of the command header.
void AhciPort::write_moved(const Slot& slot) {
  static_cast<void>(wiring_.ram.store<uint32_t>(list_base() + uint64_t{slot.number} * kHeaderBytes + 4,
                                                static_cast<uint32_t>(slot.moved)));
}

void AhciPort::unit_interrupt(AtaUnit& unit) {
  if (!active_) return;
  if ((unit.task().status & (ata::kStatusBusy | ata::kStatusData)) == 0) complete(true);
}

// The port does the host's part of PIO: a packet comes from the command table, data goes through the regions.
void AhciPort::unit_pio_ready(AtaUnit& unit) {
  if (!active_) return;
  const unsigned number = active_->number;
  const uint32_t generation = generation_;
  const std::span<uint8_t> window = unit.pio_window();
  const size_t bytes = window.size();
  const bool to_host = unit.pio_to_guest();
  const bool packet = unit.is_packet() && !to_host && !active_->packet_sent;
  if (packet) {
    active_->packet_sent = true;
    const auto place = window.first(std::min<size_t>(bytes, kPacketBytes));
    if (!wiring_.ram.read(active_->table + kTablePacket, place)) std::ranges::fill(window, uint8_t{0});
    post_pio_setup(false, bytes, false);
  } else {
    const size_t moved = move(*active_, to_host, window);
    if (moved < bytes && !to_host) std::ranges::fill(window.subspan(moved), uint8_t{0});
    post_pio_setup(to_host, bytes, to_host);
  }
  unit.pio_moved(bytes);
  const bool same = active_ && generation == generation_ && active_->number == number;
  if (same && (unit.task().status & (ata::kStatusBusy | ata::kStatusData)) == 0) complete(false);
}

size_t AhciPort::dma_move(AtaUnit&, bool to_guest, std::span<uint8_t> data) {
  return active_ ? move(*active_, to_guest, data) : 0;
}

}  // namespace rhea::devices
