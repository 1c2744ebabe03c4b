#include "devices/usb/usb_storage.h"

#include <algorithm>
#include <cstring>

#include "base/endian.h"

namespace rhea::devices {

using bus::usb::Reply;
using bus::usb::Speed;
using bus::usb::Status;

namespace {

constexpr unsigned kIn = 1, kOut = 2;
// 5.1, 5.2: the wrappers.
constexpr uint32_t kCommandSignature = 0x43425355, kStatusSignature = 0x53425355;
constexpr size_t kCommandSize = 31, kStatusSize = 13;
constexpr uint8_t kPassed = 0, kFailed = 1, kPhaseError = 2;
constexpr uint8_t kResetTransport = 0xff, kGetMaxLun = 0xfe;

}  // namespace

UsbStorage::UsbStorage(const Wiring& wiring)
    : UsbDevice(speed_bit(Speed::Full) | speed_bit(Speed::High) | speed_bit(Speed::Super)),
      serial_(wiring.serial.empty() ? "1" : wiring.serial),
      disk_({.drive = wiring.drive,
             .removable = wiring.removable,
             .cdrom = wiring.cdrom,
             .serial = wiring.serial,
             .progressed = [this] { disk_progressed(); }}) {}

// Interface: mass storage, transparent SCSI, bulk-only; an IN and an OUT endpoint.
bus::usb::Descriptors UsbStorage::describe(Speed speed) const {
  const unsigned packet = speed == Speed::Full ? 64 : speed == Speed::High ? 512 : 1024;
  bus::usb::Descriptors out{.vendor = 0x46f4,
                            .product = 0x0001,
                            .interfaces = bus::usb::bytes({9, 4, 0, 0, 2, 8, 6, 0x50, 0}),
                            .attributes = 0xc0,
                            .max_power = 0,
                            .manufacturer = "QEMU",
                            .product_name = "QEMU USB HARDDRIVE",
                            .serial = serial_};
  for (const unsigned endpoint : {0x80 | kIn, kOut}) {
    for (const unsigned byte : {7u, 5u, endpoint, 2u, packet & 0xff, packet >> 8, 0u})
      out.interfaces.push_back(static_cast<uint8_t>(byte));
    // USB 3.0, 9.6.7: the companion, bursts of 16 packets.
    if (speed == Speed::Super) {
      for (const unsigned byte : {6u, 0x30u, 15u, 0u, 0u, 0u})
        out.interfaces.push_back(static_cast<uint8_t>(byte));
    }
  }
  if (speed == Speed::Super) {
    out.usb_release = 0x0300;
    out.max_packet0 = 9;
    // 9.6.2: USB 2.0 extension, SuperSpeed.
    out.bos = bus::usb::bytes({5, 15, 22, 0, 2, 7, 16, 2, 0, 0, 0, 0, 10, 16, 3, 0, 0x0e, 0, 1, 0, 0, 0});
  }
  return out;
}

void UsbStorage::reset_transport() {
  phase_ = Phase::Command;
  tag_ = expected_ = missing_ = 0;
  broken_ = phase_error_ = false;
  disk_.reset();
}

void UsbStorage::reset(bus::ResetKind kind) {
  UsbDevice::reset(kind);
  reset_transport();
}

bool UsbStorage::request(const bus::usb::Setup& setup, std::vector<uint8_t>& data) {
  if (setup.request_type == 0x21 && setup.request == kResetTransport) {
    reset_transport();
    return true;
  }
  if (setup.request_type == 0xa1 && setup.request == kGetMaxLun) {
    data = {0};
    return true;
  }
  return false;
}

void UsbStorage::disk_progressed() {
  ready(kIn);
  ready(kOut);
}

// 6.2, 6.3: what is not a command wrapper stalls both pipes until the host resets the transport.
bool UsbStorage::take_command(std::span<const uint8_t> wrapper) {
  const bool good = wrapper.size() == kCommandSize &&
                    load_le<uint32_t>(wrapper.data()) == kCommandSignature && (wrapper[13] & 0x0f) == 0 &&
                    wrapper[14] >= 1 && wrapper[14] <= 16;
  if (!good) {
    broken_ = true;
    halt(kIn, true);
    halt(kOut, false);
    return false;
  }
  tag_ = load_le<uint32_t>(&wrapper[4]);
  expected_ = load_le<uint32_t>(&wrapper[8]);
  phase_error_ = false;
  missing_ = 0;
  const bool to_host = (wrapper[12] & 0x80) != 0;
  disk_.start(wrapper.subspan(15, wrapper[14]));
  phase_ = expected_ == 0 ? Phase::Status : to_host ? Phase::DataIn : Phase::DataOut;
  using Direction = scsi::ScsiDisk::Direction;
  const auto wanted = expected_ == 0 ? Direction::None : to_host ? Direction::ToHost : Direction::FromHost;
  const bool moves = !disk_.finished() && disk_.direction() != Direction::None;
  // 6.7: the host and the disk do not mean the same direction, or the disk more bytes.
  if (moves && (disk_.direction() != wanted || disk_.length() > expected_)) {
    phase_error_ = disk_.direction() != wanted || wanted == Direction::FromHost;
    if (disk_.direction() != wanted) disk_.end_data();
  }
  return true;
}

Reply UsbStorage::endpoint_out(unsigned endpoint, std::span<const uint8_t> from) {
  if (endpoint != kOut || broken_) return {Status::Stall};
  if (phase_ == Phase::Command) {
    if (!take_command(from)) return {Status::Stall};
    return {Status::Ack, from.size()};
  }
  if (phase_ != Phase::DataOut) {
    halt(kOut, false);
    return {Status::Stall};
  }
  const auto part = from.first(std::min<size_t>(from.size(), expected_));
  // What a disk that has already failed does not want is taken and dropped.
  if (!disk_.give(part)) return {Status::Nak};
  expected_ -= static_cast<uint32_t>(part.size());
  if (expected_ == 0) {
    disk_.end_data();
    phase_ = Phase::Status;
  }
  return {Status::Ack, from.size()};
}

Reply UsbStorage::endpoint_in(unsigned endpoint, std::span<uint8_t> into) {
  if (endpoint != kIn || broken_) return {Status::Stall};
  if (phase_ == Phase::DataIn) return give_data(into);
  if (phase_ == Phase::Status) return give_status(into);
  return {Status::Nak};
}

Reply UsbStorage::give_data(std::span<uint8_t> into) {
  const auto part = into.first(std::min<size_t>(into.size(), expected_));
  size_t got = 0;
  if (!disk_.take(part, got)) return {Status::Nak};
  // 6.7.2: what a command that failed does not deliver is filled up. Firmware takes a short packet for the
  // end of the transport.
  if (got < part.size() && disk_.finished() && disk_.status() != scsi::kGood) {
    std::ranges::fill(part.subspan(got), uint8_t{0});
    missing_ += static_cast<uint32_t>(part.size() - got);
    got = part.size();
  }
  expected_ -= static_cast<uint32_t>(got);
  // A short packet ends the data; what the host wants beyond is the residue.
  if (expected_ == 0 || got < part.size() || part.size() < into.size()) {
    disk_.end_data();
    phase_ = Phase::Status;
  }
  return {Status::Ack, got};
}

Reply UsbStorage::give_status(std::span<uint8_t> into) {
  if (!disk_.finished()) return {Status::Nak};
  if (into.size() < kStatusSize) {
    halt(kIn, true);
    return {Status::Stall};
  }
  std::array<uint8_t, kStatusSize> status{};
  store_le(&status[0], kStatusSignature);
  store_le(&status[4], tag_);
  store_le(&status[8], expected_ + missing_);
  status[12] = phase_error_ ? kPhaseError : disk_.status() == scsi::kGood ? kPassed : kFailed;
  std::ranges::copy(status, into.begin());
  phase_ = Phase::Command;
  return {Status::Ack, kStatusSize};
}

void UsbStorage::state(bus::StateVisitor& v) {
  UsbDevice::state(v);
  v.field("phase", phase_);
  v.field("tag", tag_);
  v.field("expected", expected_);
  v.field("broken", broken_);
  v.field("phase_error", phase_error_);
  v.field("missing", missing_);
  disk_.state(v);
  if (v.loading() && phase_ > Phase::Status) phase_ = Phase::Command;
}

}  // namespace rhea::devices
