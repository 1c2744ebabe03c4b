// Where a device is plugged in: a root port of a host controller or a port of a hub; and the bus of a
// controller, which is all ports that can be reached from it.
//
// USB 2.0, 4.1.1 (topology) and 11.24 (hubs). A port's name is its path from the root, "1" or "2.3". Caller
// holds the machine lock.
#pragma once

#include <bit>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "bus/bus.h"
#include "bus/usb/usb_device.h"

namespace rhea::bus::usb {

// Whose port it is.
class PortOwner {
 public:
  virtual ~PortOwner() = default;
  virtual void attached(UsbPort& port) = 0;
  virtual void detached(UsbPort& port) = 0;
  // An endpoint of a device at or behind this port has something after a Nak.
  virtual void ready(UsbPort& port, UsbDevice& device, unsigned endpoint) = 0;
  virtual void wake_host(UsbPort& port) = 0;
};

class UsbPort {
 public:
  UsbPort(PortOwner& owner, unsigned index, std::string path, unsigned speeds)
      : owner_(owner), index_(index), path_(std::move(path)), speeds_(speeds) {}
  UsbPort(const UsbPort&) = delete;
  UsbPort& operator=(const UsbPort&) = delete;
  ~UsbPort();

  unsigned index() const { return index_; }  // among its owner's, from 0
  const std::string& path() const { return lender_ != nullptr ? lender_->path() : path_; }
  UsbDevice* device() const { return device_; }
  bool free() const { return device_ == nullptr && borrower_ == nullptr; }
  bool takes(unsigned speeds) const { return (speeds_ & speeds) != 0; }
  // The fastest of the speeds that it takes; there is one.
  Speed fastest(unsigned speeds) const { return static_cast<Speed>(std::bit_width(speeds_ & speeds) - 1); }

  // The port is free and takes one of the device's speeds; the fastest is chosen.
  void attach(UsbDevice& device);
  void detach();
  // A port that two controllers share (EHCI 1.0, 4.2): its device moves to the other's port, and counts as
  // plugged in here all the same. The device of `other` comes back.
  void lend_to(UsbPort& other);
  void take_back();
  UsbPort* borrower() const { return borrower_; }
  void set_speeds(unsigned speeds) { speeds_ = speeds; }
  void ready(unsigned endpoint) { owner_.ready(*this, *device_, endpoint); }
  // The same of a device behind a hub in this port.
  void ready_behind(UsbDevice& device, unsigned endpoint) { owner_.ready(*this, device, endpoint); }
  void wake_host() { owner_.wake_host(*this); }

 private:
  PortOwner& owner_;
  unsigned index_;
  std::string path_;
  unsigned speeds_;  // a bit for each Speed
  UsbDevice* device_ = nullptr;
  UsbPort* borrower_ = nullptr;  // has our device
  UsbPort* lender_ = nullptr;    // whose device we have
};

class UsbBus final : public Bus {
 public:
  std::string_view type() const override { return "usb-bus"; }
  void add(UsbPort& port) { ports_.push_back(&port); }
  void remove(UsbPort& port);
  // A free port for a device that has one of these speeds: the one of this path, or the first (paths of root
  // ports before those behind hubs). Errors: NotFound, Busy, NoSpace, Unsupported (speed).
  Result<UsbPort*> choose(unsigned speeds, const std::string& path) const;
  const std::vector<UsbPort*>& ports() const { return ports_; }

 private:
  std::vector<UsbPort*> ports_;
};

}  // namespace rhea::bus::usb
