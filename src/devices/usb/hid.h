// A USB device of the human interface class with one interrupt endpoint: what keyboard, mouse and tablet
// share.
//
// USB Device Class Definition for HID 1.11: 6.2 (descriptors), 7.1 and 7.2 (requests), F.4 (boot protocol).
// Caller holds the machine lock.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "async/clock.h"
#include "bus/usb/usb_device.h"

namespace rhea::devices {

class HidDevice : public bus::usb::UsbDevice {
 public:
  void reset(bus::ResetKind kind) override;
  void state(bus::StateVisitor& v) override;

 protected:
  struct Kind {
    const char* product;
    uint8_t subclass, protocol;  // 1 and 1 or 2: speaks the boot protocol
    uint8_t report_size;         // of the interrupt endpoint
    std::vector<uint8_t> report_descriptor;
  };
  HidDevice(async::Clock& clock, Kind kind);

  bus::usb::Descriptors describe(bus::usb::Speed speed) const override;
  bus::usb::Reply endpoint_in(unsigned endpoint, std::span<uint8_t> into) override;
  bus::usb::Reply endpoint_out(unsigned endpoint, std::span<const uint8_t> from) override;
  bool request(const bus::usb::Setup& setup, std::vector<uint8_t>& data) override;

  // The next report that the host has not seen; false: nothing new.
  virtual bool next_report(std::vector<uint8_t>& report) = 0;
  virtual std::vector<uint8_t> current_report() const = 0;
  virtual bool take_output(std::span<const uint8_t> report) = 0;
  // Something for next_report(): the host may ask again, and is woken if it sleeps.
  void changed();
  bool boot_protocol() const { return boot_protocol_; }

 private:
  bool get_descriptor(const bus::usb::Setup& setup, std::vector<uint8_t>& data) const;
  std::vector<uint8_t> hid_descriptor() const;

  async::Clock& clock_;
  Kind kind_;
  uint8_t idle_ = 0;  // 4 ms units; 0: only changes are reported
  bool boot_protocol_ = false;
  int64_t reported_ns_ = 0;
};

}  // namespace rhea::devices
