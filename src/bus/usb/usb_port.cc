#include "bus/usb/usb_port.h"

#include <algorithm>

#include "base/check.h"
#include "base/failf.h"

namespace rhea::bus::usb {

UsbPort::~UsbPort() {
  if (device_ != nullptr) device_->unplugged();
  if (lender_ != nullptr) lender_->borrower_ = nullptr;
  if (borrower_ != nullptr) borrower_->lender_ = nullptr;
}

void UsbPort::attach(UsbDevice& device) {
  CHECK(device_ == nullptr && takes(device.speeds()));
  device_ = &device;
  device.plugged(*this, fastest(device.speeds()));
  owner_.attached(*this);
}

void UsbPort::detach() {
  if (device_ == nullptr) return;
  device_->unplugged();
  device_ = nullptr;
  if (lender_ != nullptr) lender_->borrower_ = nullptr;
  lender_ = nullptr;
  owner_.detached(*this);
}

void UsbPort::lend_to(UsbPort& other) {
  UsbDevice& device = *device_;
  detach();
  borrower_ = &other;
  other.lender_ = this;
  other.attach(device);
}

void UsbPort::take_back() {
  UsbPort* other = borrower_;
  if (other == nullptr || other->device_ == nullptr) return;
  UsbDevice& device = *other->device_;
  other->detach();
  attach(device);
}

void UsbBus::remove(UsbPort& port) {
  std::erase(ports_, &port);
}

Result<UsbPort*> UsbBus::choose(unsigned speeds, const std::string& path) const {
  // Two ports of one path are the two halves of a USB 3 connector, which takes one device.
  const auto is_taken = [this](const UsbPort& port) {
    return std::ranges::any_of(
        ports_, [&](const UsbPort* other) { return other->path() == port.path() && !other->free(); });
  };
  bool wrong_speed = false;
  UsbPort* found = nullptr;
  for (UsbPort* port : ports_) {
    if (!path.empty() && port->path() != path) continue;
    if (found != nullptr && port->path() != found->path()) continue;
    if (is_taken(*port)) {
      if (path.empty()) continue;
      return failf(ErrorKind::Busy, "usb port {} is taken", path);
    }
    wrong_speed |= !port->takes(speeds);
    if (!port->takes(speeds)) continue;
    if (found == nullptr || port->fastest(speeds) > found->fastest(speeds)) found = port;
  }
  if (found != nullptr) return found;
  if (!path.empty() && !wrong_speed) return failf(ErrorKind::NotFound, "usb port {} not found", path);
  if (wrong_speed)
    return fail(ErrorKind::Unsupported, "no free usb port of this bus takes the device's speed");
  return fail(ErrorKind::NoSpace, "there is no free usb port");
}

}  // namespace rhea::bus::usb
