// One port of an AHCI controller: its registers, the command list and the received FISes in guest memory, and
// the device on the cable. Native queued commands are the port's own work (ahci_ncq.cc); all others the
// unit's.
//
// AHCI 1.3.1, 3.3, 4 and 5. The list is written by a guest that may be hostile: headers, FISes and table
// entries are copied once each, and data goes to and from RAM only. Missing: port multipliers, command list
// override, power management of the link, hot plug; a saved state has no commands under way. Machine lock
// held.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "devices/ata/ahci_regs.h"
#include "devices/ata/ata_unit.h"
#include "devices/virtio/guest_ram.h"

namespace rhea::devices {

class AhciPort final : public AtaBus, public AtaHost {
 public:
  struct Wiring {
    virtio::GuestRam& ram;
    // Interrupt status or enable is different; event: there may be a new reason for an interrupt.
    std::function<void(bool event)> changed;
    std::function<std::string()> boot_path{};  // of the controller
    unsigned number = 0;
  };
  explicit AhciPort(Wiring wiring);
  ~AhciPort() override;

  uint32_t read(unsigned reg) const;
  void write(unsigned reg, uint32_t value);
  bool interrupting() const { return (interrupts_ & enabled_) != 0; }
  // The controller's reset; units are devices of their own, yet a reset of the link reaches them.
  void reset();
  void state(bus::StateVisitor& v);

  unsigned places() const override { return 1; }
  AtaUnit* at(unsigned) const override { return unit_; }
  void plug(AtaUnit& unit, unsigned place) override;
  void unplug(AtaUnit& unit) override;
  std::string boot_path(unsigned place) const override;

 private:
  // Walks a command's region descriptors.
  struct Regions {
    uint64_t table = 0;
    uint32_t count = 0, next = 0;  // entries
    uint64_t address = 0;          // of the entry that is being used
    uint32_t left = 0;
    bool broken = false;
  };
  struct Slot {
    unsigned number = 0;
    std::array<uint8_t, ahci::kFisBytes> fis{};
    uint64_t table = 0;
    uint32_t flags = 0;
    Regions regions{};
    uint64_t moved = 0;  // bytes
    bool packet_sent = false;
  };
  struct Queued;  // a native queued command
  using QueuedPtr = std::shared_ptr<Queued>;

  void unit_interrupt(AtaUnit& unit) override;
  void unit_pio_ready(AtaUnit& unit) override;
  bool dma_ready(AtaUnit&) override { return true; }
  size_t dma_move(AtaUnit& unit, bool to_guest, std::span<uint8_t> data) override;
  bool is_serial() const override { return true; }

  uint64_t list_base() const { return uint64_t{list_upper_} << 32 | list_; }
  uint64_t fis_base() const { return uint64_t{fis_upper_} << 32 | fis_; }
  void write_command(uint32_t value);
  void write_sata_control(uint32_t value);
  void stop_engine();
  void link_reset();
  void show_signature();

  void process();
  std::optional<Slot> fetch(unsigned slot);
  void issue(Slot slot);
  void control_fis(const Slot& slot);
  void load_task(const Slot& slot);
  void complete(bool post_fis);
  void write_moved(const Slot& slot);
  size_t move(Slot& slot, bool to_guest, std::span<uint8_t> data);
  bool next_region(Regions& regions);
  void bus_error();

  void raise(uint32_t bits);
  void renew_task_file();
  void post(unsigned at, std::span<const uint8_t> fis);
  void post_d2h();
  void post_pio_setup(bool to_host, size_t bytes, bool interrupt);

  void issue_queued(Slot slot);
  void next_piece(const QueuedPtr& command);
  void piece_done(const QueuedPtr& command, uint32_t bytes, bool ok);
  void queued_ended(const QueuedPtr& command);
  void queued_failed(const QueuedPtr& command, uint8_t error);
  void read_error_log(Slot slot);

  Wiring wiring_;
  AtaUnit* unit_ = nullptr;
  uint32_t list_ = 0, list_upper_ = 0, fis_ = 0, fis_upper_ = 0;
  uint32_t interrupts_ = 0, enabled_ = 0, command_ = 0, task_ = ahci::kNoDeviceTask,
           signature_ = ahci::kNoSignature;
  uint32_t sata_control_ = 0, sata_error_ = 0, active_bits_ = 0, issued_ = 0;
  bool halted_ = false;     // an error: nothing goes on until the engine was stopped
  bool resetting_ = false;  // SRST stands
  bool processing_ = false;
  std::optional<Slot> active_;  // with the unit
  uint32_t queued_ = 0;         // tags of native queued commands under way
  uint32_t generation_ = 0;     // of those that count
  unsigned last_slot_ = ahci::kSlots - 1;
  std::array<uint8_t, 512> error_log_{};
};

}  // namespace rhea::devices
