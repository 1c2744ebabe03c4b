#include "devices/usb/usb_hub.h"

namespace rhea::devices {

using bus::usb::Reply;
using bus::usb::Speed;
using bus::usb::Status;

namespace {

// 11.24.2: requests and features.
constexpr uint8_t kGetStatus = 0, kClearFeature = 1, kSetFeature = 3, kGetDescriptor = 6;
constexpr uint8_t kHubIn = 0xa0, kHubOut = 0x20, kPortIn = 0xa3, kPortOut = 0x23;
constexpr uint16_t kPortEnable = 1, kPortSuspend = 2, kPortReset = 4, kPortPower = 8;
constexpr uint16_t kFirstChange = 16, kLastChange = 20;  // C_PORT_CONNECTION .. C_PORT_RESET
// 11.24.2.7: port status and change.
constexpr uint16_t kConnected = 1, kEnabled = 2, kSuspended = 4, kInReset = 0x10, kPowered = 0x100,
                   kLowSpeed = 0x200;
constexpr uint16_t kKnownStatus = kConnected | kEnabled | kSuspended | kInReset | kPowered | kLowSpeed;
constexpr uint16_t kKnownChange = 0x1f;
constexpr uint8_t kHubDescriptor = 0x29;

}  // namespace

UsbHub::UsbHub() : UsbDevice(speed_bit(Speed::Full)) {}

UsbHub::~UsbHub() {
  if (bus_ == nullptr) return;
  for (Port& port : ports_) bus_->remove(*port.port);
}

void UsbHub::join(bus::usb::UsbBus& bus) {
  bus_ = &bus;
  for (unsigned i = 0; i < kPorts; ++i) {
    ports_[i].port = std::make_unique<bus::usb::UsbPort>(static_cast<bus::usb::PortOwner&>(*this), i,
                                                         port()->path() + "." + std::to_string(i + 1),
                                                         speed_bit(Speed::Low) | speed_bit(Speed::Full));
    bus.add(*ports_[i].port);
  }
}

bus::usb::Descriptors UsbHub::describe(Speed) const {
  return {.usb_release = 0x0110,
          .device_class = 9,
          .max_packet0 = 8,
          .vendor = 0x0409,
          .product = 0x55aa,
          .release = 0x0101,
          .interfaces = bus::usb::bytes({9, 4, 0, 0, 1, 9, 0, 0, 0, 7, 5, 0x81, 3, 2, 0, 255}),
          .attributes = 0xe0,
          .max_power = 0,
          .manufacturer = "QEMU",
          .product_name = "QEMU USB Hub",
          .serial = "314159"};
}

// Behind enabled ports only, and not while the hub itself is not configured.
bus::usb::UsbDevice* UsbHub::find(uint8_t address) {
  if (UsbDevice* self = UsbDevice::find(address)) return self;
  for (Port& port : ports_) {
    if ((port.status & (kEnabled | kSuspended)) != kEnabled || port.port == nullptr) continue;
    bus::usb::UsbDevice* device = port.port->device();
    if (device == nullptr) continue;
    if (UsbDevice* found = device->find(address)) return found;
  }
  return nullptr;
}

bus::usb::UsbDevice* UsbHub::behind_port(unsigned number) {
  if (number == 0 || number > kPorts || ports_[number - 1].port == nullptr) return nullptr;
  return ports_[number - 1].port->device();
}

// 11.12.4: a bit for each port that has a change; bit 0 is the hub's own.
Reply UsbHub::endpoint_in(unsigned endpoint, std::span<uint8_t> into) {
  if (endpoint != 1) return {Status::Stall};
  uint16_t bits = 0;
  for (unsigned i = 0; i < kPorts; ++i) {
    if (ports_[i].change != 0) bits |= static_cast<uint16_t>(2u << i);
  }
  if (bits == 0) return {Status::Nak};
  const size_t length = std::min<size_t>(into.size(), 2);
  for (size_t i = 0; i < length; ++i) into[i] = static_cast<uint8_t>(bits >> (8 * i));
  return {Status::Ack, length};
}

bool UsbHub::request(const bus::usb::Setup& setup, std::vector<uint8_t>& data) {
  if (setup.request_type == kHubIn && setup.request == kGetDescriptor && setup.value >> 8 == kHubDescriptor) {
    // 11.23.2.1: ports are powered and over-current is told one by one.
    data = bus::usb::bytes({11, kHubDescriptor, kPorts, 0x0a, 0, 1, 0, 0, 0, 0xff, 0xff});
    return true;
  }
  if (setup.request_type == kHubIn && setup.request == kGetStatus) {
    data.assign(4, 0);
    return true;
  }
  if (setup.request_type == kHubOut) return setup.request == kClearFeature && setup.value <= 1;
  if (setup.index == 0 || setup.index > kPorts) return false;
  Port& port = ports_[setup.index - 1];
  if (setup.request_type == kPortIn && setup.request == kGetStatus) {
    for (const uint16_t word : {port.status, port.change}) {
      data.push_back(static_cast<uint8_t>(word));
      data.push_back(static_cast<uint8_t>(word >> 8));
    }
    return true;
  }
  if (setup.request_type != kPortOut) return false;
  if (setup.request == kSetFeature) return port_feature(port, setup.value, true);
  return setup.request == kClearFeature && port_feature(port, setup.value, false);
}

bool UsbHub::port_feature(Port& port, uint16_t feature, bool on) {
  const auto set = [&port](uint16_t bits, bool to) {
    port.status = static_cast<uint16_t>(to ? port.status | bits : port.status & ~bits);
  };
  if (feature >= kFirstChange && feature <= kLastChange && !on) {
    port.change = static_cast<uint16_t>(port.change & ~(1u << (feature - kFirstChange)));
    return true;
  }
  switch (feature) {
    case kPortEnable:
      if (!on) set(kEnabled, false);
      return !on;  // 11.24.2.13: only a reset enables
    case kPortSuspend:
      if (!on && (port.status & kSuspended) != 0) port.change |= 1u << 2;
      set(kSuspended, on && (port.status & kEnabled) != 0);
      if (!on) changed();
      return true;
    case kPortReset:
      if (on) reset_port(port);
      return on;
    case kPortPower:
      set(kPowered, on);
      if (!on) set(kConnected | kEnabled | kSuspended | kLowSpeed, false);
      if (on && port.port != nullptr && port.port->device() != nullptr && (port.status & kConnected) == 0)
        attached(*port.port);
      return true;
    default: return feature == 22 || feature == 21;  // indicator, test: nothing to see
  }
}

// Takes no time.
void UsbHub::reset_port(Port& port) {
  bus::usb::UsbDevice* device = port.port == nullptr ? nullptr : port.port->device();
  if (device == nullptr || (port.status & kConnected) == 0) return;
  device->bus_reset();
  port.status = static_cast<uint16_t>((port.status & ~(kSuspended | kInReset)) | kEnabled);
  port.change |= 1u << 4;
  changed();
}

void UsbHub::changed() {
  UsbDevice::ready(1);
  UsbDevice::wake_host();
}

void UsbHub::attached(bus::usb::UsbPort& where) {
  Port& port = ports_[where.index()];
  if ((port.status & kPowered) == 0) return;
  port.status = static_cast<uint16_t>((port.status & kPowered) | kConnected);
  if (where.device()->speed() == Speed::Low) port.status |= kLowSpeed;
  port.change |= 1;
  changed();
}

void UsbHub::detached(bus::usb::UsbPort& where) {
  Port& port = ports_[where.index()];
  if ((port.status & kEnabled) != 0) port.change |= 2;
  port.status = port.status & kPowered;
  port.change |= 1;
  changed();
}

void UsbHub::ready(bus::usb::UsbPort&, bus::usb::UsbDevice& device, unsigned endpoint) {
  if (port() != nullptr) port()->ready_behind(device, endpoint);
}

void UsbHub::wake_host(bus::usb::UsbPort& where) {
  Port& port = ports_[where.index()];
  if ((port.status & kSuspended) != 0) {
    port.status = static_cast<uint16_t>(port.status & ~kSuspended);
    port.change |= 1u << 2;
  }
  changed();
}

// A hub that is not configured has no power at its ports.
void UsbHub::configuration_changed() {
  for (Port& port : ports_) {
    if (configured()) continue;
    port.status = port.change = 0;
  }
}

void UsbHub::reset(bus::ResetKind kind) {
  UsbDevice::reset(kind);
  for (Port& port : ports_) port.status = port.change = 0;
}

void UsbHub::state(bus::StateVisitor& v) {
  UsbDevice::state(v);
  for (Port& port : ports_) {
    v.field("status", port.status);
    v.field("change", port.change);
    if (!v.loading()) continue;
    port.status &= kKnownStatus;
    port.change &= kKnownChange;
    if (port.port == nullptr || port.port->device() == nullptr)
      port.status &= static_cast<uint16_t>(~(kConnected | kEnabled));
  }
}

}  // namespace rhea::devices
