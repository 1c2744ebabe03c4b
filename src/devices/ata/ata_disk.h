// An ATA hard disk: PIO (single and multiple sectors), DMA, 28- and 48-bit addresses and CHS, flush, TRIM,
// IDENTIFY, SET FEATURES, power commands, and SMART. NCQ is the AHCI's, which reads and writes drive()
// itself.
//
// ATA8-ACS (T13/1699-D revision 4a); TRIM: ACS-2. Missing: security, host protected area, general purpose
// logs, media with removable-media commands. Machine lock held.
#pragma once

#include <functional>

#include "devices/ata/ata_unit.h"

namespace rhea::devices {

class AtaDisk final : public AtaUnit {
 public:
  struct Options {
    std::string model = "QEMU HARDDISK";
    std::string serial{};
    std::string firmware = "2.5+";
    uint64_t wwn = 0;                           // 0: none
    uint16_t rotation_rate = 0;                 // rpm; 1: does not turn, 0: not said
    uint8_t physical_exponent = 0;              // a physical block is 2^n logical ones
    block::Geometry geometry{};                 // 0 cylinders: by the size
    std::optional<uint8_t> bios_translation{};  // what the firmware is told; unset: by the geometry
  };
  // The drive has a medium and is not attached yet; Busy if it is.
  static Result<std::unique_ptr<AtaDisk>> create(block::Drive& drive, Options options);

  std::string_view name() const override { return "ide-hd"; }
  bool is_packet() const override { return false; }
  void state(bus::StateVisitor& v) override;
  void resized() override;
  uint64_t sectors() const { return sectors_; }
  const block::Geometry& geometry() const { return default_; }
  // How the BIOS makes cylinders of it that fit its ten bits: 0 as they are, 1 by sector number (LBA), 2 by
  // doubling heads (large), 3 the same with 15 heads.
  uint8_t bios_translation() const;

 private:
  enum class Work : uint8_t { None, Read, Write, Trim };
  struct Transfer {
    Work work = Work::None;
    bool fua = false;
    uint64_t lba = 0;     // of what comes next
    uint32_t left = 0;    // sectors that are not transferred yet (Trim: of ranges)
    uint32_t block = 1;   // sectors a DRQ block
    uint32_t ready = 0;   // sectors read ahead, from pio_at on
    uint32_t pio_at = 0;  // bytes
    uint32_t moving = 0;  // sectors of the block that is being moved
    bool long_address = false;
  };
  struct Health {
    bool enabled = true, autosave = true;
    uint8_t selftest_count = 0;
    uint8_t errors = 0;
  };

  AtaDisk(block::Drive& drive, Options options);

  void execute(uint8_t code) override;
  void pio_done() override;
  void dma_step() override;
  void set_signature() override;
  void cancel_command() override { transfer_ = {}; }
  void power_on() override;

  bool begin_transfer(Work work, bool long_address, uint32_t block);
  bool address(bool long_address, uint64_t& lba, uint32_t& count) const;
  void show_address(uint64_t lba, bool long_address);
  bool execute_transfer(uint8_t code);
  void read_pio(bool long_address, uint32_t block);
  void write_pio(bool long_address, uint32_t block, bool fua = false);
  void start_dma(Work work, bool long_address, bool fua = false);
  void fill_pio();
  void next_pio_block();
  void store_pio();
  void read_dma();
  void write_dma();
  void trim_dma();
  void trim_next(Buffer ranges, size_t bytes, size_t at);
  void transfer_failed(const Error& error, uint64_t lba);
  void verify(bool long_address);
  void flush();
  void native_max(bool long_address);
  void set_multiple();
  void set_features();
  bool set_transfer_mode(uint8_t mode);
  void set_parameters();
  void identify();
  void smart();
  void smart_data();
  void smart_thresholds();
  void smart_log();
  void smart_self_test();
  void give_page(const std::array<uint8_t, 512>& page);

  Options options_;
  uint64_t sectors_ = 0;
  block::Geometry default_{};
  block::Geometry current_{};
  uint8_t multiple_ = 16;
  uint8_t multiword_mode_ = 0x07, ultra_mode_ = 0x20;  // which of them is chosen, as in words 63 and 88
  bool look_ahead_ = true;
  bool configured_cache_ = true;
  Transfer transfer_;
  Health health_;
};

}  // namespace rhea::devices
