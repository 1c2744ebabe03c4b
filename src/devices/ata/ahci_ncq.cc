// Native command queuing: READ and WRITE FPDMA QUEUED go to the drive side by side, and end in any order with
// a Set Device Bits FIS. After an error nothing of the queue ends any more until the host has stopped the
// engine and read the log that names the command (ATA8-ACS, annex A: NCQ command error log; Serial
// ATA 3.0, 13.6; AHCI 1.3.1, 6.2.2.2).
#include <algorithm>

#include "base/checked.h"
#include "devices/ata/ahci_port.h"
#include "devices/ata/ata_regs.h"

namespace rhea::devices {

using namespace ahci;

namespace {

constexpr uint32_t kPiece = 1u << 20;
constexpr uint8_t kErrorLogPage = 0x10;
constexpr uint8_t kForceUnitAccess = 0x80;

}  // namespace

struct AhciPort::Queued {
  Slot slot{};
  bool write = false, fua = false;
  uint64_t offset = 0;  // bytes, of the next piece
  uint64_t left = 0;
  uint32_t generation = 0;
  std::unique_ptr<uint8_t[]> buffer{};
  uint64_t capacity = 0;

  std::span<uint8_t> piece(uint64_t bytes) {
    if (capacity < bytes) {
      buffer = std::make_unique_for_overwrite<uint8_t[]>(bytes);
      capacity = bytes;
    }
    return {buffer.get(), bytes};
  }
};

void AhciPort::issue_queued(Slot slot) {
  const auto& fis = slot.fis;
  const auto command = std::make_shared<Queued>();
  const uint64_t lba = uint64_t{fis[10]} << 40 | uint64_t{fis[9]} << 32 | uint64_t{fis[8]} << 24 |
                       uint64_t{fis[6]} << 16 | uint64_t{fis[5]} << 8 | fis[4];
  uint64_t sectors = uint64_t{fis[11]} << 8 | fis[3];
  if (sectors == 0) sectors = 65536;
  const unsigned tag = fis[12] >> 3;
  const unsigned number = slot.number;
  command->write = fis[2] == ata::kWriteFpdma;
  command->fua = command->write && (fis[7] & kForceUnitAccess) != 0;
  command->offset = lba * ata::kSector;
  command->left = sectors * ata::kSector;
  command->generation = generation_;
  command->slot = std::move(slot);
  issued_ &= ~(1u << number);
  active_bits_ |= 1u << number;
  queued_ |= 1u << number;
  task_ = ata::kStatusReady | ata::kStatusSeek;
  // 5.6.4: a command's tag is its slot.
  if (tag != number || !range_within(command->offset, command->left, unit_->drive()->size())) {
    unit_->drive()->count_invalid(command->write ? block::DriveOp::Write : block::DriveOp::Read);
    queued_failed(command, tag != number ? ata::kErrorAbort : ata::kErrorNotFound);
    return;
  }
  next_piece(command);
}

void AhciPort::next_piece(const QueuedPtr& command) {
  const auto bytes = static_cast<uint32_t>(std::min<uint64_t>(command->left, kPiece));
  const std::span<uint8_t> piece = command->piece(bytes);
  block::Drive& drive = *unit_->drive();
  block::Drive::Done done = [this, command, bytes](const Result<>& result) {
    piece_done(command, bytes, result.has_value());
  };
  if (!command->write) {
    drive.read(command->offset, piece, std::move(done));
  } else if (move(command->slot, false, piece) == bytes) {
    drive.write(command->offset, piece, std::move(done));
  } else {
    queued_failed(command, ata::kErrorAbort);
  }
}

void AhciPort::piece_done(const QueuedPtr& command, uint32_t bytes, bool ok) {
  if (command->generation != generation_ || halted_) return;
  if (ok && !command->write) ok = move(command->slot, true, command->piece(bytes)) == bytes;
  if (!ok) {
    queued_failed(command, command->write ? ata::kErrorAbort : ata::kErrorUncorrectable);
    return;
  }
  command->offset += bytes;
  command->left -= bytes;
  if (command->left != 0) {
    next_piece(command);
  } else if (command->fua) {
    unit_->drive()->flush([this, command](const Result<>& result) {
      if (command->generation != generation_ || halted_) return;
      if (result)
        queued_ended(command);
      else
        queued_failed(command, ata::kErrorAbort);
    });
  } else {
    queued_ended(command);
  }
}

void AhciPort::queued_ended(const QueuedPtr& command) {
  const uint32_t bit = 1u << command->slot.number;
  queued_ &= ~bit;
  active_bits_ &= ~bit;
  write_moved(command->slot);
  std::array<uint8_t, 8> fis{};
  fis[0] = kFisSetBits;
  fis[1] = kFisInterrupt;
  fis[2] = ata::kStatusReady;
  store_le<uint32_t>(fis.data() + 4, bit);
  post(kReceiveSetBits, fis);
  task_ = ata::kStatusReady | ata::kStatusSeek;
  raise(kIntSetBits);
  process();
}

void AhciPort::queued_failed(const QueuedPtr& command, uint8_t error) {
  constexpr uint8_t kStatus = ata::kStatusReady | ata::kStatusSeek | ata::kStatusError;
  error_log_ = {};
  error_log_[0] = static_cast<uint8_t>(command->slot.number);
  error_log_[2] = kStatus;
  error_log_[3] = error;
  std::copy_n(command->slot.fis.begin() + 4, 10, error_log_.begin() + 4);
  std::array<uint8_t, 8> fis{};
  fis[0] = kFisSetBits;
  fis[1] = kFisInterrupt;
  fis[2] = kStatus & ~ata::kStatusSeek;
  fis[3] = error;
  post(kReceiveSetBits, fis);
  task_ = uint32_t{error} << 8 | kStatus;
  halted_ = true;
  raise(kIntSetBits | kIntTaskFile);
}

// READ LOG EXT of the queued error log; other logs this disk has none of.
void AhciPort::read_error_log(Slot slot) {
  load_task(slot);
  AtaTaskFile& task = unit_->task();
  const bool known = task.now.lba_low == kErrorLogPage && task.now.count == 1 && task.before.count == 0;
  active_ = std::move(slot);
  task.status = ata::kStatusReady | ata::kStatusSeek | (known ? 0 : ata::kStatusError);
  task.error = known ? 0 : ata::kErrorAbort;
  if (!known) {
    complete(true);
    return;
  }
  uint8_t sum = 0;
  for (size_t i = 0; i < 511; ++i) sum = static_cast<uint8_t>(sum + error_log_[i]);
  error_log_[511] = static_cast<uint8_t>(0 - sum);
  static_cast<void>(move(*active_, true, error_log_));
  post_pio_setup(true, error_log_.size(), true);
  complete(false);
}

}  // namespace rhea::devices
