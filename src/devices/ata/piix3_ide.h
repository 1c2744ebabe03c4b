// The IDE function of the 82371SB (PIIX3): two channels at the ports and interrupts of old, and a bus master
// for each behind BAR 4.
//
// Intel 290550-002: 2.3 (configuration registers of function 1), 2.7 (bus master registers); Programming
// Interface for Bus Master IDE Controller 1.0. The timing registers are kept and have no effect; the channels
// answer whether or not IDETIM enables them. Machine lock held.
#pragma once

#include "bus/pci/pci_function.h"
#include "devices/ata/ide_channel.h"

namespace rhea::devices {

class Piix3Ide final : public bus::pci::PciFunction {
 public:
  struct Wiring {
    bus::IrqLine irq14, irq15;
    std::string boot_path{};  // "/pci@i0cf8/ide@1,1"
  };
  explicit Piix3Ide(const Wiring& wiring);

  std::string_view name() const override { return "piix3-ide"; }
  void reset(bus::ResetKind kind) override;
  void state(bus::StateVisitor& v) override;
  IdeChannel& channel(unsigned index) { return engines_[index & 1].channel; }

 private:
  // Registers of one channel: command 0, status 2, descriptor table 4 to 7.
  struct Engine final : BusMaster {
    Engine(Piix3Ide& function, const bus::IrqLine& irq, const std::string& boot_path);
    bool started() const override;
    size_t move(bool to_guest, std::span<uint8_t> data) override;
    void ended() override;
    void interrupted() override;
    bool next_piece();
    uint8_t read(unsigned reg) const;
    void write(unsigned reg, uint8_t value);
    void start();
    void visit(bus::StateVisitor& v);

    Piix3Ide& ide;
    IdeChannel channel;
    uint8_t command = 0, status = 0;
    uint32_t table = 0;
    uint32_t next = 0;  // where the next descriptor lies
    uint32_t piece_at = 0, piece_left = 0;
    bool last_piece = false;
  };
  struct Registers final : memory::IoHandler {
    explicit Registers(Piix3Ide& i) : ide(i) {}
    uint64_t io_read(uint64_t offset, unsigned size) override;
    void io_write(uint64_t offset, unsigned size, uint64_t value) override;
    memory::IoTraits io_traits() const override { return {.min = 1, .max = 4}; }
    Piix3Ide& ide;
  };

  static constexpr unsigned kRegisters = 16;

  std::array<Engine, 2> engines_;
  Registers registers_{*this};
};

}  // namespace rhea::devices
