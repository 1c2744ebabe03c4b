// One ATA device (a disk or a packet device) without its transport: the task file, the commands, and the data
// of a transfer. The transport (two registers blocks and a bus master on a parallel channel, or a port of an
// AHCI) is an AtaHost.
//
// A command begins with command(). It then moves data in blocks: by PIO, where the unit says that a block is
// ready and the host takes it through pio_window() and pio_moved(), or by DMA, where the unit calls
// AtaHost::dma_move() with its bounce buffer. It ends with an interrupt. The disk's work is asynchronous.
//
// State is to be saved while the drive is drained. Machine lock held.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "block/drive/drive.h"
#include "bus/bus.h"
#include "bus/device.h"

namespace rhea::devices {

class AtaUnit;

// What the host sees of a device: the current registers and what they held before (for 48-bit addresses).
struct AtaTaskFile {
  struct Set {
    uint8_t feature = 0, count = 0, lba_low = 0, lba_mid = 0, lba_high = 0;
  };
  Set now, before;
  uint8_t device = 0, status = 0, error = 0;

  uint64_t lba48() const {
    return uint64_t{before.lba_high} << 40 | uint64_t{before.lba_mid} << 32 | uint64_t{before.lba_low} << 24 |
           uint64_t{now.lba_high} << 16 | uint64_t{now.lba_mid} << 8 | now.lba_low;
  }
  uint32_t lba28() const {
    return (device & 0x0fu) << 24 | uint32_t{now.lba_high} << 16 | uint32_t{now.lba_mid} << 8 | now.lba_low;
  }
};

// The transport.
class AtaHost {
 public:
  virtual ~AtaHost() = default;
  // The unit wants the host's attention; its status says why.
  virtual void unit_interrupt(AtaUnit& unit) = 0;
  // A block of PIO data is ready to be moved (DRQ is set). May move it at once.
  virtual void unit_pio_ready(AtaUnit& unit) { static_cast<void>(unit); }
  // Whether dma_move() can be called now. If not, the host calls AtaUnit::dma_go() when it can.
  virtual bool dma_ready(AtaUnit& unit) = 0;
  // Moves the next bytes between `data` and the memory that the guest has named; returns how many, fewer if
  // it named too little.
  virtual size_t dma_move(AtaUnit& unit, bool to_guest, std::span<uint8_t> data) = 0;
  // The command that used DMA is over, before its interrupt.
  virtual void dma_ended(AtaUnit& unit) { static_cast<void>(unit); }
  // IDENTIFY shows a serial device.
  virtual bool is_serial() const { return false; }
};

// Where units are plugged in: an IDE channel has two places, a port of an AHCI one.
class AtaBus : public bus::Bus {
 public:
  std::string_view type() const override { return "IDE"; }
  virtual unsigned places() const = 0;
  // Null: free.
  virtual AtaUnit* at(unsigned place) const = 0;
  // The place is free. The unit outlives its stay: its destructor unplugs it.
  virtual void plug(AtaUnit& unit, unsigned place) = 0;
  virtual void unplug(AtaUnit& unit) = 0;
  // For bootindex=, up to the bus: "/pci@i0cf8/ide@1,1/drive@0". Empty: cannot be booted from.
  virtual std::string boot_path(unsigned place) const {
    static_cast<void>(place);
    return {};
  }
};

class AtaUnit : public bus::Device, public block::DriveFrontend {
 public:
  // The drive is attached by the subclass and detached here. Null: a packet device without a drive.
  explicit AtaUnit(block::Drive* drive) : drive_(drive) {}
  ~AtaUnit() override;
  AtaUnit(const AtaUnit&) = delete;
  AtaUnit& operator=(const AtaUnit&) = delete;

  virtual bool is_packet() const = 0;
  block::Drive* drive() const { return drive_; }
  // The drive was not attached: it is not this unit's to detach.
  void forget_drive() { drive_ = nullptr; }
  const AtaTaskFile& task() const { return task_; }
  // For the host to load registers. Status and error are the unit's.
  AtaTaskFile& task() { return task_; }

  // AtaBus::plug does this.
  void connect(AtaBus* bus, AtaHost* host);
  AtaHost* host() const { return host_; }

  // The command register was written. Ignored while the unit is busy, unless it is a reset.
  void command(uint8_t code);
  // SRST, COMRESET: everything is cancelled, the registers show the signature.
  void soft_reset();
  void reset(bus::ResetKind kind) override;
  void state(bus::StateVisitor& v) override;

  // -- PIO: the rest of the block that is being moved; empty: none.
  std::span<uint8_t> pio_window();
  bool pio_to_guest() const { return phase_ == Phase::PioToGuest; }
  // So many bytes of the window have been moved.
  void pio_moved(size_t bytes);
  // -- DMA: the host's engine was started.
  void dma_go();
  bool dma_pending() const { return phase_ == Phase::DmaToGuest || phase_ == Phase::DmaFromGuest; }

 protected:
  enum class Phase : uint8_t { Idle, Busy, PioToGuest, PioFromGuest, DmaToGuest, DmaFromGuest };
  static constexpr size_t kPioBytes = 32 * 1024;
  static constexpr size_t kDmaBytes = 1024 * 1024;

  virtual void execute(uint8_t code) = 0;
  // The block is moved.
  virtual void pio_done() = 0;
  // The engine runs: move the next piece.
  virtual void dma_step() = 0;
  virtual void set_signature() = 0;
  // Forgets the command under way.
  virtual void cancel_command() {}
  // Back to how it was made.
  virtual void power_on() {}

  void interrupt();
  // The command is done, well or not.
  void end();
  void end_silently();
  void end_with_error(uint8_t error);
  void abort() { end_with_error(kAbort); }
  // The next block: bytes of pio_data() from `begin` on.
  void give_block(size_t begin, size_t bytes, bool interrupt = true);
  void take_block(size_t bytes, bool interrupt);
  void begin_dma(bool to_guest);
  void busy();
  std::span<uint8_t> pio_data() { return pio_; }

  // A bounce buffer of at least so many bytes, and what keeps it alive for a request's Done.
  using Buffer = std::shared_ptr<std::vector<uint8_t>>;
  Buffer& bounce(size_t bytes);

  AtaTaskFile task_;
  Phase phase_ = Phase::Idle;

 private:
  static constexpr uint8_t kAbort = 0x04;

  block::Drive* drive_;
  AtaBus* bus_ = nullptr;
  AtaHost* host_ = nullptr;
  std::array<uint8_t, kPioBytes> pio_{};
  uint32_t pio_at_ = 0, pio_end_ = 0;
  Buffer bounce_;
};

}  // namespace rhea::devices
