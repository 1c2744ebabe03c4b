// The SMBus host controller of PIIX4, polled only: quick, byte, byte data, word data and block commands to
// targets. Handler offsets are those of the register block at SMBBA.
//
// Intel 290562-001, 7.3 (SMBus I/O registers). Missing: the slave side, interrupts at completion.
// Caller holds the machine lock.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "bus/device.h"
#include "memory/io_handler.h"

namespace rhea::devices {

class SmbusTarget {
 public:
  virtual ~SmbusTarget() = default;
  // Empty or false: no acknowledge.
  virtual bool smbus_write(std::span<const uint8_t> bytes) = 0;
  virtual std::optional<uint8_t> smbus_read() = 0;
};

// A serial EEPROM of 256 bytes (memory module description): a write sets its pointer and stores what follows.
class SmbusEeprom final : public SmbusTarget {
 public:
  explicit SmbusEeprom(const std::array<uint8_t, 256>& contents) : bytes_(contents) {}
  bool smbus_write(std::span<const uint8_t> bytes) override;
  std::optional<uint8_t> smbus_read() override { return bytes_[pointer_++]; }

 private:
  std::array<uint8_t, 256> bytes_;
  uint8_t pointer_ = 0;
};

class SmbusHost final : public memory::IoHandler {
 public:
  void attach(uint8_t address, SmbusTarget& target) { targets_[address & 0x7f] = &target; }
  void reset();
  void state(bus::StateVisitor& v);
  uint64_t io_read(uint64_t offset, unsigned size) override;
  void io_write(uint64_t offset, unsigned size, uint64_t value) override;
  memory::IoTraits io_traits() const override { return {.min = 1, .max = 1}; }

 private:
  void execute();
  bool transfer(SmbusTarget& target, unsigned protocol, bool reading);
  bool block(SmbusTarget& target, bool reading);

  std::array<SmbusTarget*, 128> targets_{};
  std::array<uint8_t, 32> block_{};
  uint8_t status_ = 0, control_ = 0, command_ = 0, address_ = 0, data0_ = 0, data1_ = 0, index_ = 0;
};

}  // namespace rhea::devices
