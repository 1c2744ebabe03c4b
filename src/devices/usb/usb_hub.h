// A USB hub with eight ports for low and full speed devices.
//
// Universal Serial Bus Specification 2.0, chapter 11: 11.23 (descriptors), 11.24 (requests). It runs at full
// speed, as a transaction translator does not exist here. Caller holds the machine lock.
#pragma once

#include <array>
#include <memory>

#include "bus/usb/usb_device.h"
#include "bus/usb/usb_port.h"

namespace rhea::devices {

class UsbHub final : public bus::usb::UsbDevice, private bus::usb::PortOwner {
 public:
  static constexpr unsigned kPorts = 8;

  UsbHub();
  ~UsbHub() override;
  // Once it is plugged in: its ports join the bus, with paths behind that of its own port.
  void join(bus::usb::UsbBus& bus);

  std::string_view name() const override { return "usb-hub"; }
  bus::usb::UsbDevice* find(uint8_t address) override;
  bus::usb::UsbDevice* behind_port(unsigned number) override;
  void reset(bus::ResetKind kind) override;
  void state(bus::StateVisitor& v) override;

 private:
  struct Port {
    std::unique_ptr<bus::usb::UsbPort> port;
    uint16_t status = 0, change = 0;
  };

  bus::usb::Descriptors describe(bus::usb::Speed speed) const override;
  bus::usb::Reply endpoint_in(unsigned endpoint, std::span<uint8_t> into) override;
  bus::usb::Reply endpoint_out(unsigned, std::span<const uint8_t>) override {
    return {bus::usb::Status::Stall};
  }
  bool request(const bus::usb::Setup& setup, std::vector<uint8_t>& data) override;
  void configuration_changed() override;

  void attached(bus::usb::UsbPort& port) override;
  void detached(bus::usb::UsbPort& port) override;
  void ready(bus::usb::UsbPort& port, bus::usb::UsbDevice& device, unsigned endpoint) override;
  void wake_host(bus::usb::UsbPort& port) override;

  bool port_feature(Port& port, uint16_t feature, bool on);
  void reset_port(Port& port);
  void changed();

  bus::usb::UsbBus* bus_ = nullptr;
  std::array<Port, kPorts> ports_;
};

}  // namespace rhea::devices
