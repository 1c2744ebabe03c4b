#include "devices/usb/hid.h"

#include <algorithm>

namespace rhea::devices {

using bus::usb::Reply;
using bus::usb::Setup;
using bus::usb::Speed;
using bus::usb::Status;

namespace {
// 7.2
constexpr uint8_t kGetReport = 1, kGetIdle = 2, kGetProtocol = 3, kSetReport = 9, kSetIdle = 10,
                  kSetProtocol = 11;
constexpr uint8_t kToHost = 0xa1, kFromHost = 0x21;
constexpr uint8_t kGetDescriptor = 6, kStandardToHost = 0x81, kHid = 0x21, kReport = 0x22;
constexpr unsigned kEndpoint = 1;
constexpr int64_t kIdleUnitNs = 4'000'000;
}  // namespace

HidDevice::HidDevice(async::Clock& clock, Kind kind)
    : UsbDevice(speed_bit(Speed::Full) | speed_bit(Speed::High)), clock_(clock), kind_(std::move(kind)) {}

bus::usb::Descriptors HidDevice::describe(Speed speed) const {
  bus::usb::Descriptors d;
  d.vendor = 0x0627;
  d.product = 0x0001;
  d.max_packet0 = speed == Speed::High ? 64 : 8;
  d.manufacturer = "QEMU";  // drivers and udev rules know these devices by name
  d.product_name = kind_.product;
  d.serial = "1";
  d.interfaces = bus::usb::bytes({9, 4, 0, 0, 1, 3, kind_.subclass, kind_.protocol, 0});
  std::vector<uint8_t> hid = hid_descriptor();
  d.interfaces.insert(d.interfaces.end(), hid.begin(), hid.end());
  // bInterval: milliseconds, or 2^(n-1) microframes.
  unsigned interval = speed == Speed::High ? 7 : 10;
  for (unsigned b : {7u, 5u, 0x80u | kEndpoint, 3u, unsigned{kind_.report_size}, 0u, interval})
    d.interfaces.push_back(static_cast<uint8_t>(b));
  return d;
}

// 6.2.1
std::vector<uint8_t> HidDevice::hid_descriptor() const {
  size_t size = kind_.report_descriptor.size();
  return bus::usb::bytes({9, kHid, 0x11, 0x01, 0, 1, kReport, static_cast<unsigned>(size & 255),
                          static_cast<unsigned>(size >> 8)});
}

bool HidDevice::get_descriptor(const Setup& s, std::vector<uint8_t>& data) const {
  if (s.request_type != kStandardToHost || s.request != kGetDescriptor || s.index != 0) return false;
  switch (s.value >> 8) {
    case kHid: data = hid_descriptor(); return true;
    case kReport: data = kind_.report_descriptor; return true;
    default: return false;
  }
}

bool HidDevice::request(const Setup& s, std::vector<uint8_t>& data) {
  if (s.request_type == kStandardToHost) return get_descriptor(s, data);
  if (s.index != 0 || (s.request_type != kToHost && s.request_type != kFromHost)) return false;
  bool to_host = s.request_type == kToHost;
  switch (s.request) {
    case kGetReport: data = current_report(); return to_host;
    case kGetIdle: data = {idle_}; return to_host;
    case kGetProtocol: data = {static_cast<uint8_t>(boot_protocol_ ? 0 : 1)}; return to_host;
    case kSetReport: return !to_host && take_output(data);
    case kSetIdle: idle_ = static_cast<uint8_t>(s.value >> 8); return !to_host;
    case kSetProtocol:
      if (to_host || kind_.subclass == 0 || s.value > 1) return false;
      boot_protocol_ = s.value == 0;
      return true;
    default: return false;
  }
}

Reply HidDevice::endpoint_in(unsigned endpoint, std::span<uint8_t> into) {
  if (endpoint != kEndpoint) return {Status::Stall};
  std::vector<uint8_t> report;
  int64_t now = clock_.now_ns();
  if (!next_report(report)) {
    bool again = idle_ != 0 && now - reported_ns_ >= idle_ * kIdleUnitNs;
    if (!again) return {Status::Nak};
    report = current_report();
  }
  reported_ns_ = now;
  size_t length = std::min(report.size(), into.size());
  std::copy_n(report.begin(), length, into.begin());
  return {Status::Ack, length};
}

Reply HidDevice::endpoint_out(unsigned, std::span<const uint8_t>) {
  return {Status::Stall};
}

void HidDevice::changed() {
  wake_host();
  ready(kEndpoint);
}

void HidDevice::reset(bus::ResetKind kind) {
  UsbDevice::reset(kind);
  idle_ = 0;
  boot_protocol_ = false;
  reported_ns_ = 0;
}

void HidDevice::state(bus::StateVisitor& v) {
  UsbDevice::state(v);
  v.field("idle", idle_);
  v.field("boot_protocol", boot_protocol_);
  v.field("reported_ns", reported_ns_);
}

}  // namespace rhea::devices
