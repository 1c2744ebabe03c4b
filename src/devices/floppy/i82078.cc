// Registers and commands of the controller; data transfers stand in i82078_transfer.cc. See i82078.h.
#include "devices/floppy/i82078.h"

#include <algorithm>

#include "base/trace.h"
#include "devices/floppy/i82078_regs.h"

namespace rhea::devices {

using namespace i82078;

namespace {

inline trace::Event<uint8_t> trace_fdc_command{"fdc_command", "opcode {:#04x}"};

// Bytes of a command, the opcode included; 1 for those that there are not.
uint8_t command_length(uint8_t opcode) {
  switch (opcode & kOpcode) {
    case kReadTrack:
    case kWriteData:
    case kReadData:
    case kWriteDeleted:
    case kReadDeleted:
    case kVerify: return 9;
    case kFormatTrack: return 6;
    default: break;
  }
  switch (opcode) {
    case kSpecify: return 3;
    case kSenseDrive: return 2;
    case kRecalibrate: return 2;
    case kSeek: return 3;
    case kReadId:
    case kReadId | kFrequency: return 2;
    case kPerpendicular: return 2;
    case kConfigure: return 4;
    case kRelativeSeekOut:
    case kRelativeSeekIn: return 3;
    case kDriveSpecification: return 6;  // at most: a byte for each drive, and the one that ends it
    case kOption: return 2;
    case kPowerDownMode: return 2;
    default: return 1;
  }
}

}  // namespace

I82078::I82078(const Wiring& wiring) : wiring_(wiring) {}

I82078::~I82078() {
  for (FloppyDrive* drive : drives_) {
    if (drive != nullptr) drive->controller_ = nullptr;
  }
}

void I82078::plug(FloppyDrive& drive, unsigned unit) {
  drives_[unit % kDrives] = &drive;
  drive.controller_ = this;
}

void I82078::unplug(FloppyDrive& drive) {
  for (FloppyDrive*& place : drives_) {
    if (place == &drive) place = nullptr;
  }
  drive.controller_ = nullptr;
}

void I82078::reset(bus::ResetKind) {
  output_ = kOutputDma;
  rate_ = 2;
  tape_ = status_b_ = 0;
  specify1_ = specify2_ = 0;
  locked_ = false;
  perpendicular_ = 0;
  specifications_ = {};
  parameters_ = {};
  results_ = {};
  fifo_ = {};
  seek_unit_ = 0;
  transfer_ = {};
  soft_reset();
  reset_senses_ = 0;
  st0_ = 0;
  output_ = kOutputDma;
  set_irq(false);
}

void I82078::soft_reset() {
  for (FloppyDrive* drive : drives_) {
    if (drive == nullptr) continue;
    drive->drive().cancel_all();
    drive->track = 0;
  }
  phase_ = Phase::Command;
  given_ = wanted_ = 0;
  result_at_ = result_count_ = 0;
  fifo_at_ = fifo_end_ = 0;
  if (!locked_) {
    config_ = 0;
    precompensation_ = 0;
  }
  perpendicular_ = static_cast<uint8_t>(perpendicular_ & ~3u);
  reset_senses_ = 4;
}

void I82078::state(bus::StateVisitor& v) {
  v.field("output", output_);
  v.field("rate", rate_);
  v.field("tape", tape_);
  v.field("phase", phase_);
  v.field("irq", irq_);
  v.field("interrupt_pending", interrupt_pending_);
  v.field("reset_senses", reset_senses_);
  v.field("st0", st0_);
  v.field("seek_unit", seek_unit_);
  v.bytes("parameters", parameters_);
  v.field("given", given_);
  v.field("wanted", wanted_);
  v.bytes("results", results_);
  v.field("result_at", result_at_);
  v.field("result_count", result_count_);
  v.field("specify1", specify1_);
  v.field("specify2", specify2_);
  v.field("config", config_);
  v.field("precompensation", precompensation_);
  v.field("perpendicular", perpendicular_);
  v.field("locked", locked_);
  v.bytes("specifications", specifications_);
  v.field("opcode", transfer_.opcode);
  v.field("unit", transfer_.unit);
  v.field("track", transfer_.track);
  v.field("first_track", transfer_.first_track);
  v.field("head", transfer_.head);
  v.field("sector", transfer_.sector);
  v.field("size_code", transfer_.size_code);
  v.field("last_sector", transfer_.last_sector);
  v.field("multi_track", transfer_.multi_track);
  v.field("by_dma", transfer_.by_dma);
  v.field("ended", transfer_.ended);
  v.bytes("fifo", fifo_);
  v.field("fifo_at", fifo_at_);
  v.field("fifo_end", fifo_end_);
  if (!v.loading()) return;
  for (FloppyDrive* drive : drives_) {
    if (drive != nullptr) drive->drive().cancel_all();
  }
  if (phase_ > Phase::Result) phase_ = Phase::Command;
  wanted_ = std::min<uint8_t>(wanted_, kMostParameters);
  given_ = std::min(given_, wanted_);
  result_count_ = std::min<uint8_t>(result_count_, kMostParameters);
  result_at_ = std::min(result_at_, result_count_);
  fifo_end_ = std::min<uint16_t>(fifo_end_, kSector);
  fifo_at_ = std::min(fifo_at_, fifo_end_);
  const bool moves = phase_ == Phase::ReadFifo || phase_ == Phase::WriteFifo;
  if (moves && fifo_at_ == fifo_end_) phase_ = Phase::Command;
  if (phase_ == Phase::Result && result_at_ == result_count_) phase_ = Phase::Command;
  if (given_ == wanted_) given_ = 0;
  transfer_.head &= 1;
  wiring_.irq.set(irq_);
}

void I82078::set_irq(bool level) {
  interrupt_pending_ = level;
  // Without the DMA gate the line is not driven.
  irq_ = level && (output_ & kOutputDma) != 0;
  wiring_.irq.set(irq_);
}

FloppyDrive* I82078::current() const {
  return at(transfer_.unit);
}

uint64_t I82078::io_read(uint64_t offset, unsigned) {
  switch (offset) {
    case kStatusA: return interrupt_pending_ ? 0xc0 : 0x40;
    case kStatusB: return 0xc0 | (output_ & 1u) << 5 | (output_ >> 4 & 3u);
    case kOutput: return output_;
    case kTape: return tape_;
    case kMainStatus: return main_status();
    case kFifo: return read_fifo();
    case kInput: {
      const FloppyDrive* drive = at(output_ & kOutputDrive);
      const bool changed = drive != nullptr && (drive->changed || !drive->has_disk());
      return changed ? 0x80 : 0x00;
    }
    default: return 0xff;
  }
}

void I82078::io_write(uint64_t offset, unsigned, uint64_t value) {
  const auto byte = static_cast<uint8_t>(value);
  switch (offset) {
    case kOutput: write_output(byte); break;
    case kTape: tape_ = byte & 3; break;
    case kRateSelect:
      rate_ = byte & kRateMask;
      if ((byte & kRateReset) != 0 && (output_ & kOutputRun) != 0) {
        soft_reset();
        set_irq(true);
      }
      break;
    case kFifo: write_fifo(byte); break;
    case kInput: rate_ = static_cast<uint8_t>((rate_ & ~3u) | (byte & 3u)); break;
    default: break;
  }
}

uint8_t I82078::main_status() const {
  if ((output_ & kOutputRun) == 0) return 0;
  switch (phase_) {
    case Phase::Command: return given_ != 0 ? kReadyForHost | kCommandBusy : kReadyForHost;
    case Phase::Result: return kReadyForHost | kToHost | kCommandBusy;
    case Phase::ReadFifo: return kReadyForHost | kToHost | kNoDma | kCommandBusy;
    case Phase::WriteFifo: return kReadyForHost | kNoDma | kCommandBusy;
    case Phase::Busy: break;
  }
  return kCommandBusy;
}

void I82078::write_output(uint8_t value) {
  const bool ran = (output_ & kOutputRun) != 0;
  output_ = value;
  const bool runs = (value & kOutputRun) != 0;
  if (ran && !runs) {
    soft_reset();
    set_irq(false);
  } else if (!ran && runs) {
    soft_reset();
    set_irq(true);  // the reset is over
  } else {
    set_irq(interrupt_pending_);
  }
}

void I82078::write_fifo(uint8_t value) {
  if ((output_ & kOutputRun) == 0) return;
  if (phase_ == Phase::WriteFifo) {
    fifo_[fifo_at_++] = value;
    if (fifo_at_ >= fifo_end_) continue_transfer();
    return;
  }
  if (phase_ != Phase::Command) return;
  if (given_ == 0) wanted_ = command_length(value);
  parameters_[given_++] = value;
  const bool ended = parameters_[0] == kDriveSpecification && given_ > 1 && (value & kSpecificationDone) != 0;
  if (ended) wanted_ = given_;
  if (given_ < wanted_) return;
  const uint8_t last = parameters_[given_ - 1];
  given_ = 0;
  if (parameters_[0] == kDriveSpecification) return specify_drives(last);
  execute();
}

uint8_t I82078::read_fifo() {
  if (phase_ == Phase::ReadFifo) {
    const uint8_t value = fifo_[fifo_at_++];
    if (fifo_at_ >= fifo_end_) continue_transfer();
    return value;
  }
  if (phase_ != Phase::Result) return 0;
  set_irq(false);
  const uint8_t value = results_[result_at_++];
  if (result_at_ >= result_count_) phase_ = Phase::Command;
  return value;
}

void I82078::answer(std::initializer_list<uint8_t> bytes, bool interrupt) {
  std::ranges::copy(bytes, results_.begin());
  result_at_ = 0;
  result_count_ = static_cast<uint8_t>(bytes.size());
  phase_ = result_count_ != 0 ? Phase::Result : Phase::Command;
  if (interrupt) set_irq(true);
}

void I82078::execute() {
  const uint8_t opcode = parameters_[0];
  trace_fdc_command(opcode);
  switch (opcode & kOpcode) {
    case kReadTrack:
    case kWriteData:
    case kReadData:
    case kWriteDeleted:
    case kReadDeleted:
    case kVerify: return begin_transfer(opcode & kOpcode);
    case kFormatTrack: return begin_format();
    default: break;
  }
  switch (opcode) {
    case kSpecify: return specify();
    case kSenseDrive: return sense_drive();
    case kRecalibrate: return seek(parameters_[1] & 3, 0);
    case kSenseInterrupt: return sense_interrupt();
    case kSeek: return seek(parameters_[1] & 3, parameters_[2]);
    case kRelativeSeekOut:
    case kRelativeSeekIn: {
      const unsigned unit = parameters_[1] & 3;
      const unsigned track = at(unit) != nullptr ? at(unit)->track : 0;
      const bool in = opcode == kRelativeSeekIn;
      const unsigned steps = parameters_[2];
      return seek(unit,
                  static_cast<uint8_t>(in ? std::min(track + steps, 255u) : track - std::min(track, steps)));
    }
    case kReadId:
    case kReadId | kFrequency: return read_id();
    case kPerpendicular:
      perpendicular_ =
          static_cast<uint8_t>((parameters_[1] & 0x80) != 0 ? parameters_[1] & 0x7f
                                                            : (perpendicular_ & 0x3c) | (parameters_[1] & 3));
      return answer({});
    case kConfigure: return configure();
    case kLock:
    case kLock | kLockSet: return lock();
    case kDumpRegisters: return dump_registers();
    case kVersion: return answer({0x90});  // an enhanced controller
    case kPartId: return answer({0x41});   // 82078, stepping 0
    case kPowerDownMode: return answer({parameters_[1]});
    case kOption: return answer({});
    default: return answer({kInvalid});
  }
}

void I82078::specify() {
  specify1_ = parameters_[1];
  specify2_ = parameters_[2];
  answer({});
}

void I82078::configure() {
  config_ = parameters_[2];
  precompensation_ = parameters_[3];
  answer({});
}

void I82078::lock() {
  locked_ = (parameters_[0] & kLockSet) != 0;
  answer({static_cast<uint8_t>(locked_ ? 0x10 : 0x00)});
}

// After a reset four times, once a drive; else what the last seek came to.
void I82078::sense_interrupt() {
  if (reset_senses_ != 0) {
    const auto unit = static_cast<uint8_t>(4 - reset_senses_);
    reset_senses_--;
    set_irq(false);
    return answer(
        {static_cast<uint8_t>(kPolling | unit), at(unit) != nullptr ? at(unit)->track : uint8_t{0}});
  }
  if (!interrupt_pending_) return answer({kInvalid});
  set_irq(false);
  const FloppyDrive* drive = at(seek_unit_);
  answer({st0_, drive != nullptr ? drive->track : uint8_t{0}});
}

void I82078::sense_drive() {
  const uint8_t unit = parameters_[1] & 3;
  const FloppyDrive* drive = at(unit);
  auto st3 = static_cast<uint8_t>(0x28 | (parameters_[1] & 7));  // two heads
  if (drive != nullptr && drive->track == 0) st3 |= 0x10;
  if (drive != nullptr && drive->has_disk() && drive->drive().read_only()) st3 |= 0x40;
  answer({st3});
}

void I82078::seek(unsigned unit, uint8_t track) {
  seek_unit_ = static_cast<uint8_t>(unit);
  FloppyDrive* drive = at(unit);
  reset_senses_ = 0;
  st0_ = static_cast<uint8_t>(kSeekEnd | unit);
  if (drive == nullptr) {
    st0_ |= kAbnormal | kEquipmentCheck;
  } else {
    drive->track = track;
    // The change line falls with a step while a disk is in.
    if (drive->has_disk()) drive->changed = false;
  }
  answer({});
  set_irq(true);
}

void I82078::read_id() {
  transfer_ = {};
  transfer_.unit = parameters_[1] & 3;
  transfer_.head = parameters_[1] >> 2 & 1;
  const FloppyDrive* drive = current();
  transfer_.size_code = 2;
  transfer_.sector = 1;
  if (drive != nullptr) transfer_.track = drive->double_steps() ? drive->track / 2 : drive->track;
  uint8_t st1 = 0;
  if (!position(st1)) return end_transfer(kAbnormal, st1, 0);
  end_transfer(0, 0, 0);
}

// 5.2: a byte for each drive that is told about, then one that ends the command.
void I82078::specify_drives(uint8_t last) {
  for (unsigned i = 1; i < wanted_ && (parameters_[i] & kSpecificationDone) == 0; ++i)
    specifications_[parameters_[i] >> 5 & 3] = parameters_[i] & kSpecificationKept;
  if ((last & kNoResults) != 0) return answer({});
  answer({specifications_[0], specifications_[1], specifications_[2], specifications_[3]});
}

void I82078::dump_registers() {
  const auto track = [this](unsigned unit) { return at(unit) != nullptr ? at(unit)->track : uint8_t{0}; };
  answer({track(0), track(1), 0, 0, specify1_, specify2_, transfer_.last_sector,
          static_cast<uint8_t>((locked_ ? 0x80 : 0) | perpendicular_), config_, precompensation_});
}

}  // namespace rhea::devices
