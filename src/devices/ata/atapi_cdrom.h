// A CD/DVD-ROM drive as an ATA packet device: PACKET by PIO and DMA, IDENTIFY PACKET DEVICE, resets. The
// packet commands themselves are scsi/cdrom_commands.h.
//
// ATA/ATAPI-7 volume 1 (T13/1532D) 6.21 and volume 2 11.8; SFF-8020i for the interrupt reason. Missing:
// overlapped commands. Machine lock held.
#pragma once

#include "devices/ata/ata_unit.h"
#include "devices/scsi/cdrom_commands.h"

namespace rhea::devices {

class AtapiCdrom final : public AtaUnit {
 public:
  struct Options {
    std::string model = "QEMU DVD-ROM";
    std::string serial{};
    std::string firmware = "2.5+";
    uint64_t wwn = 0;
  };
  // Busy if the drive has a device.
  static Result<std::unique_ptr<AtapiCdrom>> create(block::Drive& drive, Options options);

  std::string_view name() const override { return "ide-cd"; }
  bool is_packet() const override { return true; }
  void state(bus::StateVisitor& v) override;
  void media_changed() override { commands_.media_changed(); }
  void eject_requested(bool) override { commands_.eject_requested(); }

 private:
  enum class Step : uint8_t { None, Packet, Data, Sectors, Page };

  AtapiCdrom(block::Drive& drive, Options options);

  void execute(uint8_t code) override;
  void pio_done() override;
  void dma_step() override;
  void set_signature() override;
  void cancel_command() override;
  void power_on() override;

  void packet_arrived();
  void answer(scsi::CdReply reply);
  void packet_failed();
  void packet_ended();
  void identify();
  void set_features();
  size_t sector_bytes() const {
    return raw_ ? scsi::CdromCommands::kRawSector : scsi::CdromCommands::kSector;
  }
  // Reads up to `most` bytes' worth of sectors and calls `then` with them, as the guest wants them.
  void fetch(size_t most, std::function<void(std::span<uint8_t>)> then);
  void fill_pio();
  void next_pio_block();
  void dma_sectors();

  Options options_;
  scsi::CdromCommands commands_;
  Step step_ = Step::None;
  bool dma_ = false, raw_ = false;
  uint32_t limit_ = 0xfffe;            // bytes of a PIO block
  uint32_t lba_ = 0, left_ = 0;        // sectors to be read yet
  uint32_t ready_at_ = 0, ready_ = 0;  // bytes in the PIO buffer that wait for the guest
  std::vector<uint8_t> reply_;         // of DMA
  uint8_t multiword_mode_ = 0x07, ultra_mode_ = 0x20;
};

}  // namespace rhea::devices
