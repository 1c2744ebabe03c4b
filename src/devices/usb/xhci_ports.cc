// Root hub ports of the controller; see xhci.h. A connector of the user's is a pair of ports, one of each
// protocol.
#include <algorithm>

#include "devices/usb/xhci.h"

namespace rhea::devices {

using namespace xhci;
using bus::usb::Speed;
using bus::usb::UsbPort;

namespace {

// 7.2.1: the default speed ID of each speed.
uint32_t speed_id(Speed speed) {
  switch (speed) {
    case Speed::Full: return 1;
    case Speed::Low: return 2;
    case Speed::High: return 3;
    case Speed::Super: return 4;
  }
  return 0;
}

uint32_t link_field(uint32_t link) {
  return link << 5;
}

}  // namespace

void Xhci::make_ports() {
  wiring_.usb2_ports = std::min(wiring_.usb2_ports, kMostPorts);
  wiring_.usb3_ports = std::min(wiring_.usb3_ports, kMostPorts);
  ports_.resize(wiring_.usb2_ports + wiring_.usb3_ports);
  for (unsigned i = 0; i < ports_.size(); ++i) {
    bool usb3 = is_usb3(i);
    unsigned number = usb3 ? i - wiring_.usb2_ports : i;
    unsigned speeds = usb3 ? speed_bit(Speed::Super)
                           : speed_bit(Speed::Low) | speed_bit(Speed::Full) | speed_bit(Speed::High);
    ports_[i].plug = std::make_unique<UsbPort>(static_cast<bus::usb::PortOwner&>(*this), i,
                                               std::to_string(number + 1), speeds);
    bus_.add(*ports_[i].plug);
  }
}

// 4.19.1: a USB 2 port waits for a reset before it is enabled, a USB 3 port trains its link by itself.
void Xhci::connect(Port& port) {
  port.status = kPower;
  bus::usb::UsbDevice* device = port.plug->device();
  if (device == nullptr) {
    port.status |= link_field(kLinkDetect);
    return;
  }
  bool usb3 = device->speed() == Speed::Super;
  port.status |= kConnected | kConnectChange | speed_id(device->speed()) << 10;
  port.status |= usb3 ? kPortEnabled | link_field(kLinkU0) : link_field(kLinkPolling);
}

void Xhci::port_changed(unsigned index, uint32_t change) {
  ports_[index].status |= change;
  if (!running()) return;
  status_ |= kPortChange;
  post(0, {uint64_t{index + 1} << 24, uint32_t{kSuccess} << 24, uint32_t{kPortStatusChange} << 10});
}

void Xhci::attached(UsbPort& plug) {
  Port& port = ports_[plug.index()];
  connect(port);
  port_changed(plug.index(), kConnectChange);
}

void Xhci::detached(UsbPort& plug) {
  Port& port = ports_[plug.index()];
  uint32_t changes = port.status & kChanges;
  if ((port.status & kPortEnabled) != 0 && !is_usb3(plug.index())) changes |= kEnableChange;
  connect(port);
  port_changed(plug.index(), changes | kConnectChange);
}

// 4.15.2: resume from the device.
void Xhci::wake_host(UsbPort& plug) {
  Port& port = ports_[plug.index()];
  if ((port.status & kLinkState) != link_field(kLinkU3)) return;
  port.status = (port.status & ~kLinkState) | link_field(is_usb3(plug.index()) ? kLinkU0 : kLinkResume);
  port_changed(plug.index(), kLinkChange);
}

uint32_t Xhci::read_port(unsigned index, unsigned reg) const {
  const Port& port = ports_[index];
  switch (reg) {
    case 0: return port.status;
    case 4: return port.power;
    case 8: return port.link;
    default: return 0;
  }
}

void Xhci::write_port(unsigned index, unsigned reg, uint32_t value) {
  Port& port = ports_[index];
  switch (reg) {
    case 0: write_port_status(port, index, value); break;
    case 4: port.power = value & (is_usb3(index) ? 0x1ffffu : 0xffffu); break;
    case 8: port.link = is_usb3(index) ? value & 0xffff : 0; break;
    default: break;
  }
}

void Xhci::write_port_status(Port& port, unsigned index, uint32_t value) {
  port.status &= ~(value & kChanges);
  port.status = (port.status & ~kWake) | (value & kWake);
  if ((value & kPower) == 0) {
    port.status &= ~(kPower | kPortEnabled);
  } else if ((port.status & kPower) == 0) {
    connect(port);
  }
  if ((value & kPortEnabled) != 0) port.status &= ~kPortEnabled;  // a one disables
  if ((value & kPortReset) != 0 || ((value & kWarmReset) != 0 && is_usb3(index))) {
    reset_port(port, index, (value & kWarmReset) != 0);
    return;
  }
  if ((value & kLinkWrite) == 0 || port.plug->device() == nullptr) return;
  uint32_t wanted = (value & kLinkState) >> 5, now = (port.status & kLinkState) >> 5;
  if (wanted != kLinkU0 && wanted != kLinkU3) return;
  if (wanted == now) return;
  port.status = (port.status & ~kLinkState) | link_field(wanted);
  if (wanted == kLinkU0) port_changed(index, kLinkChange);
}

void Xhci::reset_port(Port& port, unsigned index, bool warm) {
  bus::usb::UsbDevice* device = port.plug->device();
  if (device == nullptr || (port.status & kPower) == 0) return;
  device->bus_reset();
  port.status = (port.status & ~(kLinkState | kSpeedField)) | kPortEnabled | link_field(kLinkU0) |
                speed_id(device->speed()) << 10;
  port_changed(index, kResetChange | (warm ? kWarmChange : 0));
}

// The route string (8.9 of USB 3.2) leads through hubs: four bits a tier.
bus::usb::UsbDevice* Xhci::device_of(const Slot& slot) const {
  if (slot.port == 0 || slot.port > ports_.size()) return nullptr;
  const Port& port = ports_[slot.port - 1];
  bus::usb::UsbDevice* device = port.plug->device();
  if ((port.status & kPortEnabled) == 0) return nullptr;
  for (uint32_t route = slot.route; route != 0 && device != nullptr; route >>= 4) {
    device = device->behind_port(route & 15);
  }
  return device;
}

// An endpoint that was not ready is: the doorbell rings by itself.
void Xhci::ready(UsbPort&, bus::usb::UsbDevice& device, unsigned endpoint) {
  if (!running()) return;
  for (unsigned number = 1; number < slots_.size(); ++number) {
    Slot& slot = slots_[number];
    if (!slot.enabled || device_of(slot) != &device) continue;
    for (unsigned index : {endpoint * 2, endpoint * 2 + 1}) {
      if (index < 1 || index > kEndpoints) continue;
      if (slot.endpoints[index].state == kEndpointRunning) waiting_.emplace_back(number, index);
    }
  }
  // Not from here: the device is in the middle of something.
  if (!waiting_.empty()) later_->arm(wiring_.clock.now_ns());
}

}  // namespace rhea::devices
