// A SCSI direct-access or CD-ROM device over a drive: what USB mass storage talks to. One command at a time;
// the transport moves its data in pieces of any size with take() and give().
//
// T10 SPC-4 (inquiry, mode pages, sense data) and SBC-3 (reading, writing, unmapping); a CD-ROM's commands
// are cdrom_commands.h's. Missing: reservations, persistent mode pages, protection information, raw sectors
// of CDs. Caller holds the machine lock.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "block/drive/drive.h"
#include "bus/device.h"
#include "devices/scsi/cdrom_commands.h"
#include "devices/scsi/scsi_regs.h"

namespace rhea::devices::scsi {

class ScsiDisk final : public block::DriveFrontend {
 public:
  struct Wiring {
    block::Drive* drive = nullptr;  // null: never has a medium
    bool removable = false;
    bool cdrom = false;  // with a drive
    std::string serial{};
    std::function<void()> progressed{};  // take() or give() can go on, or the command ended
  };
  enum class Direction : uint8_t { None, ToHost, FromHost };

  explicit ScsiDisk(Wiring wiring);
  ~ScsiDisk() override;
  // Takes the drive. Errors: Busy.
  Result<> connect(const std::string& device_id);

  // A command of at most 16 bytes; one that is under way is given up.
  void start(std::span<const uint8_t> command);
  Direction direction() const { return direction_; }
  uint64_t length() const { return total_; }  // bytes that the command moves in that direction
  // What take() and give() are called with at most.
  static constexpr size_t kLargestStep = 128 << 10;

  // Fills `into`, or less where the data ends. False: not there yet.
  bool take(std::span<uint8_t> into, size_t& got);
  // All of it; at most length() bytes in sum. False: no room yet.
  bool give(std::span<const uint8_t> from);
  // No more data will be moved: the rest of a read is dropped, a write ends with what came.
  void end_data();
  bool finished() const { return phase_ == Phase::Finished; }
  uint8_t status() const { return sense_.key == 0 ? kGood : kCheckCondition; }  // once finished

  void reset();
  void state(bus::StateVisitor& v);

  void media_changed() override;
  void resized() override { attention_ = kCapacityChanged; }
  void eject_requested(bool force) override;

 private:
  enum class Phase : uint8_t { Finished, Data, Flushing, Zeroing };
  // What data that came is for.
  enum class Use : uint8_t { Medium, ModeSelect, Unmap, WriteSame };

  void execute();
  void execute_cd();
  bool check_medium();
  void answer(std::vector<uint8_t> data, uint64_t allocation);
  void fail(Sense sense);
  void finish();
  void inquiry();
  void vital_product_data(uint8_t page);
  void request_sense();
  void mode_sense();
  void add_geometry(std::vector<uint8_t>& pages, bool changeable) const;
  void start_stop();
  void read_capacity10();
  void read_capacity16();
  void read_format_capacities();
  void report_luns();
  void read_or_write(bool writes, uint64_t block, uint64_t count, bool force);
  void write_same(uint64_t block, uint64_t count);
  void expect(uint64_t bytes, Use use);
  void use_parameters();
  void unmap();
  void flush();
  void zero_next();
  void unmap_next();

  void fetch();
  void store();
  void drive_failed(const Error& error, bool writing);
  block::Drive::Done done(std::shared_ptr<std::vector<uint8_t>> keep, std::function<void(Result<>)> then);
  void progressed() {
    if (wiring_.progressed) wiring_.progressed();
  }

  block::Drive* drive() const { return wiring_.drive; }
  uint64_t blocks() const;
  uint32_t field32(size_t at) const;
  uint16_t field16(size_t at) const;
  uint64_t field64(size_t at) const;

  Wiring wiring_;
  bool connected_ = false;
  uint64_t generation_ = 0;  // of the command: a Done of an earlier one does nothing

  std::array<uint8_t, 16> command_{};
  Phase phase_ = Phase::Finished;
  Direction direction_ = Direction::None;
  Use use_ = Use::Medium;
  uint64_t total_ = 0;          // of the data phase
  uint64_t moved_ = 0;          // by take() or give()
  uint64_t at_ = 0;             // where the next piece of the medium begins, bytes
  uint64_t left_ = 0;           // of the medium from there on
  std::vector<uint8_t> queue_;  // fetched and not taken, or given and not stored
  size_t wanted_ = 0;           // by take()
  size_t busy_ = 0;             // bytes that the drive is at
  bool ended_ = false;          // no more data comes
  bool force_ = false;          // FUA
  Sense sense_, attention_ = kPowerOn;
  Sense told_;  // what REQUEST SENSE tells
  bool stopped_ = false;
  std::optional<CdromCommands> cd_;
};

}  // namespace rhea::devices::scsi
