// A parallel ATA channel as a PC sees it: the command block (eight ports), the control block (one port), two
// places for units and one interrupt. A bus master, if there is any, moves DMA data.
//
// ATA/ATAPI-7 volume 2 (T13/1532D), 5 to 8 and 11. What is read where there is no unit are zeros, as QEMU has
// it. Machine lock held.
#pragma once

#include <array>

#include "bus/irq.h"
#include "devices/ata/ata_unit.h"
#include "memory/io_handler.h"

namespace rhea::devices {

// The DMA engine of a channel.
class BusMaster {
 public:
  virtual ~BusMaster() = default;
  virtual bool started() const = 0;
  virtual size_t move(bool to_guest, std::span<uint8_t> data) = 0;
  virtual void ended() = 0;
  virtual void interrupted() = 0;
};

class IdeChannel final : public AtaBus, public AtaHost {
 public:
  struct Wiring {
    bus::IrqLine irq;
    BusMaster* master = nullptr;
    std::string boot_path{};  // "/pci@i0cf8/ide@1,1/drive@0"
  };
  explicit IdeChannel(Wiring wiring) : wiring_(std::move(wiring)) {}
  ~IdeChannel() override;

  static constexpr uint64_t kCommandBytes = 8, kControlBytes = 1;
  memory::IoHandler& command_block() { return command_ports_; }
  memory::IoHandler& control_block() { return control_ports_; }

  void reset();
  void state(bus::StateVisitor& v);
  // The engine was started.
  void dma_started();

  unsigned places() const override { return 2; }
  AtaUnit* at(unsigned place) const override { return units_[place & 1]; }
  void plug(AtaUnit& unit, unsigned place) override;
  void unplug(AtaUnit& unit) override;
  std::string boot_path(unsigned place) const override;

  void unit_interrupt(AtaUnit& unit) override;
  bool dma_ready(AtaUnit& unit) override;
  size_t dma_move(AtaUnit& unit, bool to_guest, std::span<uint8_t> data) override;
  void dma_ended(AtaUnit& unit) override;

 private:
  struct CommandPorts final : memory::IoHandler {
    explicit CommandPorts(IdeChannel& c) : channel(c) {}
    uint64_t io_read(uint64_t offset, unsigned size) override;
    void io_write(uint64_t offset, unsigned size, uint64_t value) override;
    void io_read_run(uint64_t offset, unsigned size, std::span<uint8_t> data) override;
    void io_write_run(uint64_t offset, unsigned size, std::span<const uint8_t> data) override;
    IdeChannel& channel;
  };
  struct ControlPorts final : memory::IoHandler {
    explicit ControlPorts(IdeChannel& c) : channel(c) {}
    uint64_t io_read(uint64_t, unsigned) override { return channel.status(); }
    void io_write(uint64_t, unsigned, uint64_t value) override {
      channel.write_control(static_cast<uint8_t>(value));
    }
    memory::IoTraits io_traits() const override { return {.min = 1, .max = 1}; }
    IdeChannel& channel;
  };

  AtaUnit* selected() const { return units_[selected_]; }
  size_t read_data(std::span<uint8_t> into);
  size_t write_data(std::span<const uint8_t> from);
  uint8_t read(unsigned reg);
  void write(unsigned reg, uint8_t value);
  uint8_t status() const;
  void write_control(uint8_t value);
  void write_command(uint8_t value);
  void drive_line();
  unsigned place_of(const AtaUnit& unit) const { return units_[1] == &unit ? 1 : 0; }

  Wiring wiring_;
  CommandPorts command_ports_{*this};
  ControlPorts control_ports_{*this};
  std::array<AtaUnit*, 2> units_{};
  std::array<bool, 2> pending_{};  // interrupts
  uint8_t selected_ = 0;
  uint8_t control_ = 0;
  bool line_ = false;
};

}  // namespace rhea::devices
