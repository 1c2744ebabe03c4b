// The 82078 floppy disk controller of a PC with two drives. Handler offsets: 0 to 5 are ports 0x3F0 to 0x3F5,
// 7 is port 0x3F7 (0x3F6 belongs to the hard disks).
//
// Intel 290468-006 (82078 64-pin): registers (2), commands (5). Data moves by DMA or by the processor.
// Missing: scanning for data, deleted data marks (read and written as ordinary data), single density, power
// down modes (kept, without effect), tape. Seeks take no time. Machine lock held.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "block/drive/drive.h"
#include "bus/bus.h"
#include "bus/device.h"
#include "bus/irq.h"
#include "devices/floppy/floppy_format.h"
#include "memory/io_handler.h"

namespace rhea::devices {

class FloppyDrive;

// What the controller asks of the DMA controller.
class FloppyDma {
 public:
  virtual ~FloppyDma() = default;
  // How many bytes were moved; 0 while the channel is masked.
  virtual size_t to_memory(std::span<const uint8_t> from) = 0;
  virtual size_t from_memory(std::span<uint8_t> to) = 0;
  virtual bool terminal_count() const = 0;
};

class I82078 final : public bus::Device, public memory::IoHandler, public bus::Bus {
 public:
  struct Wiring {
    bus::IrqLine irq;
    FloppyDma* dma = nullptr;  // null: no DMA
  };
  explicit I82078(const Wiring& wiring);
  ~I82078() override;

  static constexpr uint64_t kIoSize = 8;
  static constexpr unsigned kDrives = 2;

  std::string_view name() const override { return "isa-fdc"; }
  std::string_view type() const override { return "floppy-bus"; }
  void reset(bus::ResetKind kind) override;
  void state(bus::StateVisitor& v) override;
  uint64_t io_read(uint64_t offset, unsigned size) override;
  void io_write(uint64_t offset, unsigned size, uint64_t value) override;
  memory::IoTraits io_traits() const override { return {.min = 1, .max = 1}; }

  void plug(FloppyDrive& drive, unsigned unit);
  void unplug(FloppyDrive& drive);
  FloppyDrive* at(unsigned unit) const { return unit < kDrives ? drives_[unit] : nullptr; }

 private:
  enum class Phase : uint8_t { Command, ReadFifo, WriteFifo, Busy, Result };
  static constexpr size_t kSector = 512;
  static constexpr size_t kMostParameters = 16;

  // A transfer under way: what comes next.
  struct Transfer {
    uint8_t opcode = 0, unit = 0;
    uint8_t track = 0, head = 0, sector = 0, size_code = 0, last_sector = 0;
    uint8_t first_track = 0;
    bool multi_track = false, by_dma = false;
    bool ended = false;  // terminal count
  };

  uint8_t main_status() const;
  void write_output(uint8_t value);
  void write_fifo(uint8_t value);
  uint8_t read_fifo();
  void soft_reset();
  void set_irq(bool level);

  void execute();
  void specify();
  void configure();
  void sense_interrupt();
  void sense_drive();
  void seek(unsigned unit, uint8_t track);
  void read_id();
  void specify_drives(uint8_t last);
  void dump_registers();
  void lock();
  void answer(std::initializer_list<uint8_t> bytes, bool interrupt = false);

  void begin_transfer(uint8_t opcode);
  void begin_format();
  bool position(uint8_t& st1) const;
  std::optional<FloppyRate> rate() const;
  uint64_t offset() const;
  uint8_t sectors_in_run() const;
  void continue_transfer();
  void read_run();
  void give_run(std::span<const uint8_t> bytes);
  void write_run();
  void store(std::vector<uint8_t> bytes);
  void verify_run();
  void format_track(std::span<const uint8_t> ids);
  void advance(uint8_t sectors);
  bool at_end() const;
  void end_transfer(uint8_t st0, uint8_t st1, uint8_t st2);
  FloppyDrive* current() const;

  Wiring wiring_;
  std::array<FloppyDrive*, kDrives> drives_{};
  uint8_t output_ = 0, rate_ = 2, tape_ = 0, status_b_ = 0;
  Phase phase_ = Phase::Command;
  bool irq_ = false, interrupt_pending_ = false;
  uint8_t reset_senses_ = 0;  // how many SENSE INTERRUPT STATUS a reset still answers
  uint8_t st0_ = 0;
  uint8_t seek_unit_ = 0;
  std::array<uint8_t, kMostParameters> parameters_{};
  uint8_t given_ = 0, wanted_ = 0;
  std::array<uint8_t, kMostParameters> results_{};
  uint8_t result_at_ = 0, result_count_ = 0;
  uint8_t specify1_ = 0, specify2_ = 0;
  uint8_t config_ = 0, precompensation_ = 0, perpendicular_ = 0;
  bool locked_ = false;
  std::array<uint8_t, 4> specifications_{};
  Transfer transfer_;
  // The data of a transfer by the processor.
  std::array<uint8_t, kSector> fifo_{};
  uint16_t fifo_at_ = 0, fifo_end_ = 0;
};

// A drive on the controller's cable, with or without a disk in it.
class FloppyDrive final : public bus::Device, public block::DriveFrontend {
 public:
  // type None: by the medium that is in, 2.88 MB if there is none. Busy if the drive has a device.
  static Result<std::unique_ptr<FloppyDrive>> create(block::Drive& drive, FloppyType type);
  ~FloppyDrive() override;

  std::string_view name() const override { return "floppy"; }
  void reset(bus::ResetKind) override;
  void state(bus::StateVisitor& v) override;
  void media_changed() override;

  block::Drive& drive() const { return *drive_; }
  FloppyType type() const { return type_; }
  bool has_disk() const { return drive_->inserted(); }
  // A disk of 40 tracks in a drive of 80: the heads stand over a cylinder at twice its number. SeaBIOS does
  // not step twice, and reads such a disk where the number says.
  bool double_steps() const { return format_.tracks <= 42; }
  bool at_cylinder(uint8_t number) const {
    return track == number || (double_steps() && track == number * 2);
  }
  const FloppyFormat& format() const { return format_; }

  uint8_t track = 0;
  bool changed = true;  // the disk change line

 private:
  friend class I82078;
  FloppyDrive(block::Drive& drive, FloppyType type);

  block::Drive* drive_;
  FloppyType type_;
  FloppyFormat format_ = kFloppyFormats[0];
  I82078* controller_ = nullptr;
};

}  // namespace rhea::devices
