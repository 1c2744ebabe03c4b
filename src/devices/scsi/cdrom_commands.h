// The commands of a CD/DVD-ROM drive, whatever brings them (ATAPI, USB mass storage): from a command
// descriptor block to data, sectors to read, or sense. Media are images of 2048-byte sectors in one track of
// one session; larger ones than a CD's are DVDs.
//
// MMC-5 (T10/1675D), SPC-3 (T10/1416D). Missing: audio, writing, copy protection. Machine lock held.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "block/drive/drive.h"
#include "bus/device.h"
#include "devices/scsi/scsi_regs.h"

namespace rhea::devices::scsi {

struct CdReply {
  enum class Kind : uint8_t { Good, Data, Sectors, Failed };
  Kind kind = Kind::Good;
  std::vector<uint8_t> data{};  // already cut to the allocation length
  uint32_t lba = 0, sectors = 0;
  bool raw = false;  // sectors of 2352 bytes, with sync, header and room for ECC
};

class CdromCommands {
 public:
  static constexpr uint32_t kSector = 2048, kRawSector = 2352;

  struct Options {
    std::string vendor = "QEMU", product = "QEMU DVD-ROM", revision = "2.5+";
    bool atapi = true;  // how INQUIRY answers
  };
  CdromCommands(block::Drive* drive, Options options) : drive_(drive), options_(std::move(options)) {}

  CdReply execute(std::span<const uint8_t> cdb);
  // For a transport that failed while it read what it was told to.
  void read_failed() { fail(kMediumError, 0x11, 0); }
  const Sense& sense() const { return sense_; }
  void clear_sense() { sense_ = {}; }
  // The raw form of a sector: `out` is 2352 bytes, `data` 2048.
  static void make_raw(uint32_t lba, std::span<const uint8_t> data, std::span<uint8_t> out);

  // From the drive.
  void media_changed();
  void eject_requested() { event_ = Event::EjectRequest; }

  void reset();
  void state(bus::StateVisitor& v);

 private:
  enum class Event : uint8_t { None, EjectRequest, NewMedia, Removal };
  static constexpr uint8_t kNotReady = 2, kMediumError = 3, kIllegal = 5, kAttention = 6;

  using Data = std::vector<uint8_t>;
  bool ready() const { return drive_ != nullptr && drive_->inserted() && !drive_->tray_open(); }
  uint32_t sectors() const;
  bool is_dvd() const;
  CdReply fail(uint8_t key, uint8_t code, uint8_t qualifier = 0);
  CdReply illegal() { return fail(kIllegal, 0x24); }
  static CdReply data(Data bytes, size_t allocation);

  CdReply dispatch(std::span<const uint8_t> cdb);
  CdReply dispatch_on_medium(std::span<const uint8_t> cdb);
  CdReply request_sense(size_t allocation);
  CdReply inquiry(std::span<const uint8_t> cdb);
  CdReply read(uint32_t lba, uint32_t count, bool raw);
  CdReply read_cd(std::span<const uint8_t> cdb);
  CdReply mode_sense(std::span<const uint8_t> cdb);
  CdReply start_stop(std::span<const uint8_t> cdb);
  CdReply prevent_removal(std::span<const uint8_t> cdb);
  CdReply event_status(std::span<const uint8_t> cdb);
  CdReply get_configuration(std::span<const uint8_t> cdb);
  CdReply mechanism_status(std::span<const uint8_t> cdb);
  CdReply read_toc(std::span<const uint8_t> cdb);
  CdReply disc_information(std::span<const uint8_t> cdb);
  CdReply track_information(std::span<const uint8_t> cdb);
  CdReply dvd_structure(std::span<const uint8_t> cdb);

  block::Drive* drive_;
  Options options_;
  Sense sense_;
  bool attention_ = false;  // the medium may have changed
  Event event_ = Event::None;
};

}  // namespace rhea::devices::scsi
