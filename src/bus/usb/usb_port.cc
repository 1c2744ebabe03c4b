#include "bus/usb/usb_port.h"

#include <algorithm>
#include <bit>

#include "base/check.h"
#include "base/failf.h"

namespace rhea::bus::usb {

UsbPort::~UsbPort() {
  if (device_ != nullptr) device_->unplugged();
}

void UsbPort::attach(UsbDevice& device) {
  CHECK(device_ == nullptr && takes(device.speeds()));
  device_ = &device;
  device.plugged(*this, static_cast<Speed>(std::bit_width(speeds_ & device.speeds()) - 1));
  owner_.attached(*this);
}

void UsbPort::detach() {
  if (device_ == nullptr) return;
  device_->unplugged();
  device_ = nullptr;
  owner_.detached(*this);
}

void UsbBus::remove(UsbPort& port) {
  std::erase(ports_, &port);
}

Result<UsbPort*> UsbBus::choose(unsigned speeds, const std::string& path) const {
  bool wrong_speed = false;
  for (UsbPort* port : ports_) {
    if (!path.empty() && port->path() != path) continue;
    if (!path.empty() && port->device() != nullptr)
      return failf(ErrorKind::Busy, "usb port {} is taken by {}", path, port->device()->name());
    wrong_speed |= !port->takes(speeds);
    if (port->takes(speeds) && port->device() == nullptr) return port;
  }
  if (!path.empty() && !wrong_speed) return failf(ErrorKind::NotFound, "usb port {} not found", path);
  if (wrong_speed)
    return fail(ErrorKind::Unsupported, "no free usb port of this bus takes the device's speed");
  return fail(ErrorKind::NoSpace, "there is no free usb port");
}

}  // namespace rhea::bus::usb
