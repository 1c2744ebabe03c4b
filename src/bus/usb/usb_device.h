// A USB device as host controllers see it: transactions to endpoints. The base class has the default control
// pipe with the standard requests, which it answers from a table of descriptors; subclasses have their
// endpoints and class requests.
//
// Universal Serial Bus Specification 2.0: chapters 8.5 (transactions), 9.1 (states), 9.4 (standard requests),
// 9.6 (descriptors). A transaction is answered at once; a device that has nothing yet says Nak and calls
// UsbPort::ready() when it has. Missing: isochronous endpoints, streams. Caller holds the machine lock.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "bus/device.h"

namespace rhea::bus::usb {

class UsbPort;

enum class Speed : uint8_t { Low, Full, High, Super };
inline constexpr unsigned speed_bit(Speed speed) {
  return 1u << static_cast<unsigned>(speed);
}

enum class Status : uint8_t { Ack, Nak, Stall, NoResponse };

struct Reply {
  Status status = Status::Ack;
  size_t length = 0;  // bytes taken or given
};

// 9.3: the eight bytes of a SETUP packet.
struct Setup {
  uint8_t request_type = 0, request = 0;
  uint16_t value = 0, index = 0, length = 0;
  bool to_host() const { return (request_type & 0x80) != 0; }
};

// What a device says about itself. Byte strings are complete descriptors of 9.6.
struct Descriptors {
  uint16_t usb_release = 0x0200;
  uint8_t device_class = 0, device_subclass = 0, device_protocol = 0;
  uint8_t max_packet0 = 64;  // for Super: the exponent, 9
  uint16_t vendor = 0, product = 0, release = 0;
  // Everything behind the configuration descriptor: interfaces, class descriptors, endpoints.
  std::vector<uint8_t> interfaces;
  uint8_t interface_count = 1;
  uint8_t attributes = 0xa0;  // bus powered, remote wakeup
  uint8_t max_power = 50;     // in units of 2 mA
  std::string manufacturer, product_name, serial;
  std::vector<uint8_t> bos = {};  // binary device object store, for Super
};

class UsbDevice : public Device {
 public:
  static constexpr size_t kLargestControl = 4096;

  // `speeds` has a bit for each Speed that it can run at; the port decides.
  explicit UsbDevice(unsigned speeds) : speeds_(speeds) {}
  ~UsbDevice() override;
  UsbDevice(const UsbDevice&) = delete;
  UsbDevice& operator=(const UsbDevice&) = delete;

  unsigned speeds() const { return speeds_; }
  Speed speed() const { return speed_; }  // while plugged in
  uint8_t address() const { return address_; }
  UsbPort* port() const { return port_; }
  const std::string& product_name() const { return descriptors_.product_name; }

  // This device if it has the address; a hub also looks behind its enabled ports. Null: none.
  virtual UsbDevice* find(uint8_t address) { return address_ == address ? this : nullptr; }

  // The device in port `number` (from 1) of this hub; null: none, or this is no hub.
  virtual UsbDevice* behind_port(unsigned number) {
    static_cast<void>(number);
    return nullptr;
  }

  // Transactions, of the device that was addressed. `endpoint` is 0..15; data fits the packet that the
  // controller was told to move, which need not be one packet of the bus.
  Reply setup(std::span<const uint8_t, 8> packet);
  Reply in(unsigned endpoint, std::span<uint8_t> into);
  Reply out(unsigned endpoint, std::span<const uint8_t> from);

  // The state after a reset of the bus (7.1.7.5): address 0, not configured.
  void bus_reset();
  bool configured() const { return configuration_ != 0; }
  bool remote_wakeup_enabled() const { return remote_wakeup_; }
  // For the port only.
  void plugged(UsbPort& port, Speed speed);
  void unplugged() { port_ = nullptr; }

  // For subclasses overriding: call these too.
  void reset(ResetKind kind) override;
  void state(StateVisitor& v) override;

 protected:
  virtual Descriptors describe(Speed speed) const = 0;
  // Endpoints other than 0, once configured and not halted.
  virtual Reply endpoint_in(unsigned endpoint, std::span<uint8_t> into) = 0;
  virtual Reply endpoint_out(unsigned endpoint, std::span<const uint8_t> from) = 0;
  // Requests that are not standard ones, and standard ones to interfaces and endpoints that the base does not
  // know. `data` is what came with the request, or takes the answer, of which setup.length bytes at most are
  // sent. False: stall.
  virtual bool request(const Setup& setup, std::vector<uint8_t>& data) = 0;
  // After SET_CONFIGURATION, a bus reset, or loading.
  virtual void configuration_changed() {}
  virtual void endpoint_cleared(unsigned endpoint, bool in) {
    static_cast<void>(endpoint);
    static_cast<void>(in);
  }
  void halt(unsigned endpoint, bool in);
  bool halted(unsigned endpoint, bool in) const { return (halted_ >> halt_bit(endpoint, in) & 1) != 0; }
  // There is something for a transaction that was answered with Nak.
  void ready(unsigned endpoint);
  // Resume signalling, if the host allows it.
  void wake_host();

 private:
  enum class Stage : uint8_t { Idle, DataIn, DataOut, StatusIn, StatusOut, Stalled };

  static unsigned halt_bit(unsigned endpoint, bool in) { return endpoint | (in ? 16u : 0u); }
  bool begin_request();
  bool standard_request(const Setup& setup, std::vector<uint8_t>& data);
  bool set_feature(const Setup& setup, bool on);
  bool get_status(const Setup& setup, std::vector<uint8_t>& data) const;
  std::optional<std::vector<uint8_t>> descriptor(uint8_t type, uint8_t index) const;
  std::vector<uint8_t> device_descriptor() const;
  std::vector<uint8_t> configuration_descriptor(uint8_t type) const;
  std::vector<uint8_t> string_descriptor(uint8_t index) const;

  unsigned speeds_;
  Speed speed_ = Speed::Full;
  Descriptors descriptors_;  // at this speed
  UsbPort* port_ = nullptr;
  uint8_t address_ = 0, new_address_ = 0, configuration_ = 0;
  std::array<uint8_t, 16> alternate_{};  // by interface
  bool remote_wakeup_ = false;
  uint32_t halted_ = 0;  // bits 0..15 OUT, 16..31 IN
  Stage stage_ = Stage::Idle;
  Setup setup_;
  std::vector<uint8_t> data_;  // of the control transfer
  size_t at_ = 0;              // how much of it has gone by
};

// Bytes of descriptors from numbers: each below 256 is a byte.
std::vector<uint8_t> bytes(std::initializer_list<unsigned> values);

}  // namespace rhea::bus::usb
