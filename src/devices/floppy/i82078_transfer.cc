// Reading, writing, verifying and formatting. A run is what lies from the current sector to the last one that
// the command allows on this side of the track; it is read or written at once, and the DMA channel takes from
// it until its terminal count.
#include <algorithm>
#include <cstring>

#include "devices/floppy/i82078.h"
#include "devices/floppy/i82078_regs.h"

namespace rhea::devices {

using namespace i82078;

namespace {

constexpr uint8_t kSize512 = 2;  // 128 << 2

}  // namespace

uint64_t I82078::offset() const {
  const FloppyFormat& format = current()->format();
  const uint64_t track = uint64_t{transfer_.track} * format.heads + transfer_.head;
  return (track * format.sectors + transfer_.sector - 1) * kSector;
}

// Of the drive's table: the standard one, 500 kbit/s instead of 300, 2 Mbit/s (of tapes) instead of 300.
std::optional<FloppyRate> I82078::rate() const {
  const auto code = static_cast<FloppyRate>(rate_ & 3);
  const unsigned table = specifications_[transfer_.unit & 3] >> 2 & 3;
  if (code != FloppyRate::K300 || table == 0) return code;
  return table == 1 ? std::optional(FloppyRate::K500) : std::nullopt;
}

// Whether the sector can be found; if not, `st1` says why.
bool I82078::position(uint8_t& st1) const {
  const FloppyDrive* drive = current();
  if (drive == nullptr || !drive->has_disk()) {
    st1 = kMissingMark | kNoData;
    return false;
  }
  const FloppyFormat& format = drive->format();
  if (rate() != format.rate) {
    st1 = kMissingMark;
    return false;
  }
  const bool exists = transfer_.track < format.tracks && transfer_.head < format.heads &&
                      transfer_.sector >= 1 && transfer_.sector <= format.sectors &&
                      offset() + kSector <= drive->drive().size();
  if (!exists) st1 = kNoData;
  return exists;
}

void I82078::begin_transfer(uint8_t opcode) {
  transfer_ = {};
  transfer_.opcode = opcode;
  transfer_.unit = parameters_[1] & 3;
  transfer_.track = transfer_.first_track = parameters_[2];
  transfer_.head = parameters_[3];
  transfer_.sector = opcode == kReadTrack ? uint8_t{1} : parameters_[4];
  transfer_.size_code = parameters_[5];
  transfer_.last_sector = parameters_[6];
  transfer_.multi_track = (parameters_[0] & kMultiTrack) != 0;
  transfer_.by_dma = (specify2_ & 1) == 0 && wiring_.dma != nullptr;
  FloppyDrive* drive = current();
  if (drive != nullptr && (config_ & 0x40) != 0) drive->track = transfer_.track;  // implied seek
  uint8_t st1 = 0;
  if (!position(st1)) return end_transfer(kAbnormal, st1, 0);
  if (!drive->at_cylinder(transfer_.track)) return end_transfer(kAbnormal, kNoData, kWrongCylinder);
  if (transfer_.size_code != kSize512) return end_transfer(kAbnormal, kNoData, 0);
  const bool writes = opcode == kWriteData || opcode == kWriteDeleted;
  if (writes && drive->drive().read_only()) return end_transfer(kAbnormal, kNotWritable, 0);
  phase_ = Phase::Busy;
  if (opcode == kVerify) return verify_run();
  writes ? write_run() : read_run();
}

// Sectors up to the last one of this side.
uint8_t I82078::sectors_in_run() const {
  const uint8_t most = current()->format().sectors;
  const uint8_t last = std::min(transfer_.last_sector, most);
  return last >= transfer_.sector ? static_cast<uint8_t>(last - transfer_.sector + 1) : uint8_t{1};
}

void I82078::read_run() {
  const uint8_t count = transfer_.by_dma ? sectors_in_run() : uint8_t{1};
  const auto buffer = std::make_shared<std::vector<uint8_t>>(size_t{count} * kSector);
  block::Drive& drive = current()->drive();
  drive.read(offset(), *buffer, [this, buffer](Result<> done) {
    if (!done) return end_transfer(kAbnormal, kDataError, kDataError);
    give_run(*buffer);
  });
}

void I82078::give_run(std::span<const uint8_t> bytes) {
  if (!transfer_.by_dma) {
    std::ranges::copy(bytes, fifo_.begin());
    fifo_at_ = 0;
    fifo_end_ = kSector;
    phase_ = Phase::ReadFifo;
    set_irq(true);
    return;
  }
  const size_t moved = wiring_.dma->to_memory(bytes);
  transfer_.ended = moved < bytes.size() || wiring_.dma->terminal_count();
  advance(static_cast<uint8_t>((moved + kSector - 1) / kSector));
  if (moved == 0) return end_transfer(kAbnormal, kOverrun, 0);
  if (transfer_.ended) return end_transfer(0, 0, 0);
  if (at_end()) return end_transfer(kAbnormal, kEndOfCylinder, 0);
  read_run();
}

void I82078::write_run() {
  if (!transfer_.by_dma) {
    fifo_at_ = 0;
    fifo_end_ = kSector;
    phase_ = Phase::WriteFifo;
    set_irq(true);
    return;
  }
  std::vector<uint8_t> bytes(size_t{sectors_in_run()} * kSector);
  const size_t moved = wiring_.dma->from_memory(bytes);
  if (moved == 0) return end_transfer(kAbnormal, kOverrun, 0);
  transfer_.ended = moved < bytes.size() || wiring_.dma->terminal_count();
  // The rest of a sector that was begun is written as zeros.
  bytes.resize((moved + kSector - 1) / kSector * kSector);
  store(std::move(bytes));
}

void I82078::store(std::vector<uint8_t> bytes) {
  const auto count = static_cast<uint8_t>(bytes.size() / kSector);
  const auto buffer = std::make_shared<std::vector<uint8_t>>(std::move(bytes));
  phase_ = Phase::Busy;
  uint8_t st1 = 0;
  if (!position(st1)) return end_transfer(kAbnormal, st1, 0);
  current()->drive().write(offset(), *buffer, [this, buffer, count](Result<> done) {
    if (!done) return end_transfer(kAbnormal, kDataError, kDataError);
    advance(count);
    if (transfer_.ended) return end_transfer(0, 0, 0);
    if (at_end()) return end_transfer(kAbnormal, kEndOfCylinder, 0);
    write_run();
  });
}

// By the processor: a sector has gone through the FIFO. (Its terminal count is the end of the track.)
void I82078::continue_transfer() {
  set_irq(false);
  const bool was_read = phase_ == Phase::ReadFifo;
  phase_ = Phase::Busy;
  if (transfer_.opcode == kFormatTrack) return format_track(std::span(fifo_).first(fifo_end_));
  uint8_t st1 = 0;
  if (!position(st1)) return end_transfer(kAbnormal, st1, 0);
  if (!was_read) return store({fifo_.begin(), fifo_.end()});
  advance(1);
  if (at_end()) return end_transfer(0, 0, 0);
  read_run();
}

void I82078::verify_run() {
  const uint8_t count = sectors_in_run();
  const auto buffer = std::make_shared<std::vector<uint8_t>>(size_t{count} * kSector);
  current()->drive().read(offset(), *buffer, [this, buffer, count](Result<> done) {
    if (!done) return end_transfer(kAbnormal, kDataError, kDataError);
    advance(count);
    end_transfer(0, 0, 0);
  });
}

// 5.2.6: four bytes of identification a sector come from the host, each sector gets the filler byte.
void I82078::begin_format() {
  transfer_ = {};
  transfer_.opcode = kFormatTrack;
  transfer_.unit = parameters_[1] & 3;
  transfer_.head = parameters_[1] >> 2 & 1;
  transfer_.size_code = parameters_[2];
  transfer_.last_sector = parameters_[3];
  transfer_.sector = 1;
  transfer_.by_dma = (specify2_ & 1) == 0 && wiring_.dma != nullptr;
  FloppyDrive* drive = current();
  if (drive != nullptr)
    transfer_.track = static_cast<uint8_t>(drive->track / (drive->double_steps() ? 2 : 1));
  uint8_t st1 = 0;
  if (!position(st1)) return end_transfer(kAbnormal, st1, 0);
  if (drive->drive().read_only()) return end_transfer(kAbnormal, kNotWritable, 0);
  const bool fits = transfer_.last_sector >= 1 && transfer_.last_sector <= drive->format().sectors;
  if (!fits || transfer_.size_code != kSize512) return end_transfer(kAbnormal, kNoData, 0);
  const size_t bytes = size_t{transfer_.last_sector} * 4;
  if (!transfer_.by_dma) {
    fifo_at_ = 0;
    fifo_end_ = static_cast<uint16_t>(bytes);
    phase_ = Phase::WriteFifo;
    set_irq(true);
    return;
  }
  std::vector<uint8_t> ids(bytes);
  if (wiring_.dma->from_memory(ids) != bytes) return end_transfer(kAbnormal, kOverrun, 0);
  format_track(ids);
}

void I82078::format_track(std::span<const uint8_t> ids) {
  const FloppyDrive* drive = current();
  if (drive != nullptr && drive->double_steps() && drive->at_cylinder(ids[0])) transfer_.track = ids[0];
  uint8_t st1 = 0;
  if (!position(st1)) return end_transfer(kAbnormal, st1, 0);
  const uint8_t count = std::min(transfer_.last_sector, current()->format().sectors);
  for (size_t at = 0; at + 4 <= ids.size(); at += 4) {
    if (ids[at + 3] != kSize512) return end_transfer(kAbnormal, kNoData, 0);
  }
  const auto buffer = std::make_shared<std::vector<uint8_t>>(size_t{count} * kSector, parameters_[5]);
  phase_ = Phase::Busy;
  current()->drive().write(offset(), *buffer, [this, buffer](Result<> done) {
    if (!done) return end_transfer(kAbnormal, kDataError, kDataError);
    end_transfer(0, 0, 0);
  });
}

// To the sector behind; past the last one of a side to the other side, if that is wanted.
void I82078::advance(uint8_t sectors) {
  transfer_.sector = static_cast<uint8_t>(transfer_.sector + sectors);
  const uint8_t last = current() != nullptr ? std::min(transfer_.last_sector, current()->format().sectors)
                                            : transfer_.last_sector;
  if (transfer_.sector <= last) return;
  if (transfer_.multi_track && transfer_.head == 0) {
    transfer_.head = 1;
    transfer_.sector = 1;
    return;
  }
  if (transfer_.multi_track) transfer_.head = 0;
  transfer_.track++;
  transfer_.sector = 1;
}

// The command goes no further than its cylinder.
bool I82078::at_end() const {
  const FloppyDrive* drive = current();
  return drive == nullptr || transfer_.track != transfer_.first_track;
}

void I82078::end_transfer(uint8_t st0, uint8_t st1, uint8_t st2) {
  reset_senses_ = 0;
  const auto place = static_cast<uint8_t>(transfer_.unit | (transfer_.head & 1) << 2);
  st0_ = static_cast<uint8_t>(st0 | place);
  answer({st0_, st1, st2, transfer_.track, transfer_.head, transfer_.sector, transfer_.size_code}, true);
}

}  // namespace rhea::devices
