// How a disk's sectors reach the guest and come from it. PIO reads fetch as many sectors as the buffer holds
// and hand them out block by block; DMA goes through a bounce buffer in pieces of a mebibyte.
#include <algorithm>
#include <cstring>

#include "base/checked.h"
#include "base/endian.h"
#include "devices/ata/ata_disk.h"
#include "devices/ata/ata_regs.h"

namespace rhea::devices {
namespace {

constexpr uint32_t kSectorsOfPio = 32 * 1024 / ata::kSector;
constexpr uint32_t kSectorsOfDma = 1024 * 1024 / ata::kSector;
constexpr uint32_t kMostLong = 65536, kMostShort = 256;
constexpr uint8_t kFeatureTrim = 0x01;
constexpr size_t kRangeBytes = 8;

}  // namespace

bool AtaDisk::execute_transfer(uint8_t code) {
  switch (code) {
    case ata::kReadSectors:
    case ata::kReadSectorsOnce: read_pio(false, 1); return true;
    case ata::kReadSectorsExt: read_pio(true, 1); return true;
    case ata::kReadMultiple: read_pio(false, multiple_); return true;
    case ata::kReadMultipleExt: read_pio(true, multiple_); return true;
    case ata::kWriteSectors:
    case ata::kWriteSectorsOnce: write_pio(false, 1); return true;
    case ata::kWriteSectorsExt: write_pio(true, 1); return true;
    case ata::kWriteMultiple: write_pio(false, multiple_); return true;
    case ata::kWriteMultipleExt: write_pio(true, multiple_); return true;
    case ata::kWriteMultipleFuaExt: write_pio(true, multiple_, true); return true;
    case ata::kReadDma:
    case ata::kReadDmaOnce: start_dma(Work::Read, false); return true;
    case ata::kReadDmaExt: start_dma(Work::Read, true); return true;
    case ata::kWriteDma:
    case ata::kWriteDmaOnce: start_dma(Work::Write, false); return true;
    case ata::kWriteDmaExt: start_dma(Work::Write, true); return true;
    case ata::kWriteDmaFuaExt: start_dma(Work::Write, true, true); return true;
    case ata::kReadVerify:
    case ata::kReadVerifyOnce: verify(false); return true;
    case ata::kReadVerifyExt: verify(true); return true;
    case ata::kDataSetManagement: start_dma(Work::Trim, true); return true;
    default: return false;
  }
}

// False: there is no such sector.
bool AtaDisk::address(bool long_address, uint64_t& lba, uint32_t& count) const {
  if (long_address) {
    lba = task_.lba48();
    count = uint32_t{task_.before.count} << 8 | task_.now.count;
    if (count == 0) count = kMostLong;
  } else {
    count = task_.now.count != 0 ? task_.now.count : kMostShort;
    lba = task_.lba28();
    if ((task_.device & ata::kDeviceLba) == 0) {
      if (task_.now.lba_low == 0) return false;  // sectors count from 1
      const uint64_t cylinder = uint32_t{task_.now.lba_high} << 8 | task_.now.lba_mid;
      lba = (cylinder * current_.heads + (task_.device & 0x0fu)) * current_.sectors + task_.now.lba_low - 1;
    }
  }
  return range_within(lba, count, sectors_);
}

void AtaDisk::show_address(uint64_t lba, bool long_address) {
  if (!long_address && (task_.device & ata::kDeviceLba) == 0 && current_.heads != 0) {
    const uint64_t track = lba / current_.sectors;
    task_.now.lba_low = static_cast<uint8_t>(lba % current_.sectors + 1);
    task_.now.lba_mid = static_cast<uint8_t>(track / current_.heads);
    task_.now.lba_high = static_cast<uint8_t>(track / current_.heads >> 8);
    task_.device = static_cast<uint8_t>((task_.device & 0xf0) | track % current_.heads);
    return;
  }
  task_.now.lba_low = static_cast<uint8_t>(lba);
  task_.now.lba_mid = static_cast<uint8_t>(lba >> 8);
  task_.now.lba_high = static_cast<uint8_t>(lba >> 16);
  if (long_address) {
    task_.before.lba_low = static_cast<uint8_t>(lba >> 24);
    task_.before.lba_mid = static_cast<uint8_t>(lba >> 32);
    task_.before.lba_high = static_cast<uint8_t>(lba >> 40);
  } else {
    task_.device = static_cast<uint8_t>((task_.device & 0xf0) | (lba >> 24 & 0x0f));
  }
}

bool AtaDisk::begin_transfer(Work work, bool long_address, uint32_t block) {
  transfer_ = {};
  transfer_.work = work;
  transfer_.block = block;
  transfer_.long_address = long_address;
  if (!address(long_address, transfer_.lba, transfer_.left)) {
    transfer_ = {};
    drive()->count_invalid(work == Work::Write ? block::DriveOp::Write : block::DriveOp::Read);
    end_with_error(ata::kErrorNotFound);
    return false;
  }
  return true;
}

void AtaDisk::transfer_failed(const Error&, uint64_t lba) {
  const bool was_read = transfer_.work == Work::Read;
  if (transfer_.work != Work::Trim) show_address(lba, transfer_.long_address);
  if (health_.errors != 0xff) health_.errors++;
  transfer_ = {};
  if (host() != nullptr) host()->dma_ended(*this);
  end_with_error(was_read ? ata::kErrorUncorrectable : ata::kErrorAbort);
}

// -- PIO ----------------------------------------------------------------------------------------------------

void AtaDisk::read_pio(bool long_address, uint32_t block) {
  if (block == 0) return abort();  // READ MULTIPLE while it is switched off
  if (begin_transfer(Work::Read, long_address, block)) fill_pio();
}

void AtaDisk::fill_pio() {
  const uint32_t count = std::min(transfer_.left, kSectorsOfPio);
  const Buffer buffer = bounce(size_t{count} * ata::kSector);
  const auto part = std::span(*buffer).first(size_t{count} * ata::kSector);
  drive()->read(transfer_.lba * ata::kSector, part, [this, buffer, count](Result<> done) {
    if (!done) return transfer_failed(done.error(), transfer_.lba);
    std::memcpy(pio_data().data(), buffer->data(), size_t{count} * ata::kSector);
    transfer_.ready = count;
    transfer_.pio_at = 0;
    next_pio_block();
  });
}

void AtaDisk::next_pio_block() {
  transfer_.moving = std::min(transfer_.block, transfer_.ready);
  give_block(transfer_.pio_at, size_t{transfer_.moving} * ata::kSector);
}

void AtaDisk::write_pio(bool long_address, uint32_t block, bool fua) {
  if (block == 0) return abort();
  if (!begin_transfer(Work::Write, long_address, block)) return;
  transfer_.fua = fua;
  transfer_.moving = std::min(transfer_.block, transfer_.left);
  take_block(size_t{transfer_.moving} * ata::kSector, false);
}

void AtaDisk::store_pio() {
  const size_t bytes = size_t{transfer_.moving} * ata::kSector;
  const Buffer buffer = bounce(bytes);
  std::memcpy(buffer->data(), pio_data().data(), bytes);
  drive()->write(transfer_.lba * ata::kSector, std::span(*buffer).first(bytes),
                 [this, buffer](Result<> done) {
                   if (!done) return transfer_failed(done.error(), transfer_.lba);
                   transfer_.lba += transfer_.moving;
                   transfer_.left -= transfer_.moving;
                   if (transfer_.left != 0) {
                     transfer_.moving = std::min(transfer_.block, transfer_.left);
                     take_block(size_t{transfer_.moving} * ata::kSector, true);
                   } else if (transfer_.fua) {
                     flush();
                   } else {
                     end();
                   }
                 });
}

void AtaDisk::pio_done() {
  if (transfer_.work == Work::Write) return store_pio();
  if (transfer_.work != Work::Read) return end_silently();  // a page, not sectors
  transfer_.lba += transfer_.moving;
  transfer_.left -= transfer_.moving;
  transfer_.ready -= transfer_.moving;
  transfer_.pio_at += transfer_.moving * ata::kSector;
  if (transfer_.left == 0) return end_silently();
  if (transfer_.ready == 0) return fill_pio();
  next_pio_block();
}

// -- DMA ----------------------------------------------------------------------------------------------------

void AtaDisk::start_dma(Work work, bool long_address, bool fua) {
  if (work == Work::Trim) {
    if ((task_.now.feature & kFeatureTrim) == 0) return abort();
    transfer_ = {};
    transfer_.work = work;
    transfer_.left = uint32_t{task_.before.count} << 8 | task_.now.count;
    if (transfer_.left == 0) return abort();
  } else if (!begin_transfer(work, long_address, 1)) {
    return;
  }
  transfer_.fua = fua;
  begin_dma(work == Work::Read);
}

void AtaDisk::dma_step() {
  busy();
  switch (transfer_.work) {
    case Work::Read: read_dma(); break;
    case Work::Write: write_dma(); break;
    case Work::Trim: trim_dma(); break;
    case Work::None: abort(); break;
  }
}

void AtaDisk::read_dma() {
  const uint32_t count = std::min(transfer_.left, kSectorsOfDma);
  const size_t bytes = size_t{count} * ata::kSector;
  const Buffer buffer = bounce(bytes);
  const auto part = std::span(*buffer).first(bytes);
  drive()->read(transfer_.lba * ata::kSector, part, [this, buffer, part, count](Result<> done) {
    if (!done) return transfer_failed(done.error(), transfer_.lba);
    if (host() == nullptr || host()->dma_move(*this, true, part) != part.size())
      return transfer_failed(Error(ErrorKind::Io, "short DMA"), transfer_.lba);
    transfer_.lba += count;
    transfer_.left -= count;
    if (transfer_.left != 0) return read_dma();
    host()->dma_ended(*this);
    end();
  });
}

void AtaDisk::write_dma() {
  const uint32_t count = std::min(transfer_.left, kSectorsOfDma);
  const size_t bytes = size_t{count} * ata::kSector;
  const Buffer buffer = bounce(bytes);
  const auto part = std::span(*buffer).first(bytes);
  if (host() == nullptr || host()->dma_move(*this, false, part) != bytes)
    return transfer_failed(Error(ErrorKind::Io, "short DMA"), transfer_.lba);
  drive()->write(transfer_.lba * ata::kSector, part, [this, buffer, count](Result<> done) {
    if (!done) return transfer_failed(done.error(), transfer_.lba);
    transfer_.lba += count;
    transfer_.left -= count;
    if (transfer_.left != 0) return write_dma();
    if (host() != nullptr) host()->dma_ended(*this);
    if (transfer_.fua) return flush();
    end();
  });
}

// ACS-2 7.10: each sector holds 64 ranges, 48 bits of address and 16 of length.
void AtaDisk::trim_dma() {
  const size_t bytes = size_t{transfer_.left} * ata::kSector;
  const Buffer buffer = bounce(bytes);
  if (host() == nullptr || host()->dma_move(*this, false, std::span(*buffer).first(bytes)) != bytes)
    return transfer_failed(Error(ErrorKind::Io, "short DMA"), 0);
  host()->dma_ended(*this);
  trim_next(buffer, bytes, 0);
}

void AtaDisk::trim_next(Buffer ranges, size_t bytes, size_t at) {
  for (; at + kRangeBytes <= bytes; at += kRangeBytes) {
    uint64_t range = 0;
    for (size_t i = 0; i < kRangeBytes; ++i) range |= uint64_t{(*ranges)[at + i]} << (8 * i);
    const uint64_t lba = range & 0xffff'ffff'ffff;
    const uint64_t count = range >> 48;
    if (count == 0) continue;
    if (!range_within(lba, count, sectors_)) return end_with_error(ata::kErrorNotFound);
    drive()->discard(lba * ata::kSector, count * ata::kSector,
                     [this, ranges, bytes, next = at + kRangeBytes](Result<> done) {
                       if (!done) return transfer_failed(done.error(), 0);
                       trim_next(ranges, bytes, next);
                     });
    return;
  }
  end();
}

// Reads without giving the data away.
void AtaDisk::verify(bool long_address) {
  if (!begin_transfer(Work::Read, long_address, 1)) return;
  const auto step = [this](auto&& self) -> void {
    const uint32_t count = std::min(transfer_.left, kSectorsOfDma);
    const Buffer buffer = bounce(size_t{count} * ata::kSector);
    const auto part = std::span(*buffer).first(size_t{count} * ata::kSector);
    drive()->read(transfer_.lba * ata::kSector, part, [this, buffer, count, self](Result<> done) {
      if (!done) return transfer_failed(done.error(), transfer_.lba);
      transfer_.lba += count;
      transfer_.left -= count;
      if (transfer_.left != 0) return self(self);
      end();
    });
  };
  step(step);
}

}  // namespace rhea::devices
