// A USB disk: mass storage class, bulk-only transport, SCSI commands.
//
// Universal Serial Bus Mass Storage Class, Bulk-Only Transport 1.0. Runs at full, high and super speed.
// Missing: UAS, more than one unit. Caller holds the machine lock.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "bus/usb/usb_device.h"
#include "devices/scsi/scsi_disk.h"

namespace rhea::devices {

class UsbStorage final : public bus::usb::UsbDevice {
 public:
  struct Wiring {
    block::Drive* drive = nullptr;  // null: a reader without a medium
    bool removable = false;
    bool cdrom = false;  // with a drive
    std::string serial{};
  };
  explicit UsbStorage(const Wiring& wiring);
  // Takes the drive. Errors: Busy.
  Result<> connect(const std::string& device_id) { return disk_.connect(device_id); }

  std::string_view name() const override { return "usb-storage"; }
  void reset(bus::ResetKind kind) override;
  void state(bus::StateVisitor& v) override;

 private:
  enum class Phase : uint8_t { Command, DataIn, DataOut, Status };

  bus::usb::Descriptors describe(bus::usb::Speed speed) const override;
  bus::usb::Reply endpoint_in(unsigned endpoint, std::span<uint8_t> into) override;
  bus::usb::Reply endpoint_out(unsigned endpoint, std::span<const uint8_t> from) override;
  bool request(const bus::usb::Setup& setup, std::vector<uint8_t>& data) override;
  void configuration_changed() override { reset_transport(); }

  bool take_command(std::span<const uint8_t> wrapper);
  bus::usb::Reply give_data(std::span<uint8_t> into);
  bus::usb::Reply give_status(std::span<uint8_t> into);
  void reset_transport();
  void disk_progressed();

  std::string serial_;
  scsi::ScsiDisk disk_;
  Phase phase_ = Phase::Command;
  uint32_t tag_ = 0;
  uint32_t expected_ = 0;  // bytes that the host still wants to move
  bool broken_ = false;    // the wrapper made no sense: stalled until the host resets the transport
  bool phase_error_ = false;
  uint32_t missing_ = 0;  // bytes that were sent in place of data
};

}  // namespace rhea::devices
