#include "bus/usb/usb_device.h"

#include <algorithm>
#include <cstring>

#include "bus/usb/usb_port.h"

namespace rhea::bus::usb {
namespace {

// 9.4, table 9-4 and 9-6; 9.6, table 9-5.
constexpr uint8_t kGetStatus = 0, kClearFeature = 1, kSetFeature = 3, kSetAddress = 5, kGetDescriptor = 6,
                  kGetConfiguration = 8, kSetConfiguration = 9, kGetInterface = 10, kSetInterface = 11,
                  kSetSel = 48, kSetIsochDelay = 49;
constexpr uint16_t kEndpointHalt = 0, kRemoteWakeup = 1;
constexpr uint8_t kDevice = 1, kConfiguration = 2, kString = 3, kQualifier = 6, kOtherSpeed = 7, kBos = 15;
constexpr uint8_t kManufacturer = 1, kProduct = 2, kSerial = 3;
constexpr uint8_t kTypeMask = 0x60, kRecipientMask = 0x1f, kToDevice = 0, kToInterface = 1, kToEndpoint = 2;

void put16(std::vector<uint8_t>& to, uint16_t value) {
  to.push_back(static_cast<uint8_t>(value));
  to.push_back(static_cast<uint8_t>(value >> 8));
}

uint16_t get16(std::span<const uint8_t> from, size_t at) {
  return static_cast<uint16_t>(from[at] | from[at + 1] << 8);
}

}  // namespace

std::vector<uint8_t> bytes(std::initializer_list<unsigned> values) {
  std::vector<uint8_t> out;
  for (unsigned value : values) out.push_back(static_cast<uint8_t>(value));
  return out;
}

UsbDevice::~UsbDevice() {
  if (port_ != nullptr) port_->detach();
}

Reply UsbDevice::setup(std::span<const uint8_t, 8> packet) {
  setup_ = {packet[0], packet[1], get16(packet, 2), get16(packet, 4), get16(packet, 6)};
  data_.clear();
  at_ = 0;
  if (setup_.length > kLargestControl) {
    setup_.length = 0;
    stage_ = Stage::Stalled;
  } else if (setup_.to_host() || setup_.length == 0) {
    stage_ = !begin_request() ? Stage::Stalled : setup_.length == 0 ? Stage::StatusIn : Stage::DataIn;
  } else {
    stage_ = Stage::DataOut;
  }
  return {Status::Ack, 8};
}

// Carries the request out; the answer stands in data_ then.
bool UsbDevice::begin_request() {
  if (!standard_request(setup_, data_) && !request(setup_, data_)) return false;
  if (data_.size() > setup_.length) data_.resize(setup_.length);
  return true;
}

Reply UsbDevice::in(unsigned endpoint, std::span<uint8_t> into) {
  if (endpoint != 0) {
    if (!configured() || endpoint > 15) return {Status::Stall};
    return halted(endpoint, true) ? Reply{Status::Stall} : endpoint_in(endpoint, into);
  }
  if (stage_ == Stage::DataOut && at_ == setup_.length) stage_ = Stage::StatusIn;
  if (stage_ == Stage::DataIn) {
    size_t length = std::min(into.size(), data_.size() - at_);
    if (length != 0) std::memcpy(into.data(), data_.data() + at_, length);
    at_ += length;
    return {Status::Ack, length};
  }
  if (stage_ != Stage::StatusIn) return {Status::Stall};
  stage_ = Stage::Idle;
  address_ = new_address_;  // takes effect after the status stage (9.4.6)
  return {Status::Ack, 0};
}

Reply UsbDevice::out(unsigned endpoint, std::span<const uint8_t> from) {
  if (endpoint != 0) {
    if (!configured() || endpoint > 15) return {Status::Stall};
    return halted(endpoint, false) ? Reply{Status::Stall} : endpoint_out(endpoint, from);
  }
  if (stage_ == Stage::DataIn) {  // the host has enough: status
    stage_ = Stage::Idle;
    return {Status::Ack, from.size()};
  }
  if (stage_ != Stage::DataOut) return {Status::Stall};
  if (from.size() > setup_.length - at_) {
    stage_ = Stage::Stalled;
    return {Status::Stall};
  }
  data_.insert(data_.end(), from.begin(), from.end());
  at_ += from.size();
  if (at_ == setup_.length && !begin_request()) {
    stage_ = Stage::Stalled;
    return {Status::Stall};
  }
  return {Status::Ack, from.size()};
}

bool UsbDevice::standard_request(const Setup& s, std::vector<uint8_t>& data) {
  if ((s.request_type & kTypeMask) != 0) return false;
  uint8_t recipient = s.request_type & kRecipientMask;
  switch (s.request) {
    case kGetStatus: return get_status(s, data);
    case kClearFeature: return set_feature(s, false);
    case kSetFeature: return set_feature(s, true);
    case kSetAddress:
      if (recipient != kToDevice || s.value > 127) return false;
      new_address_ = static_cast<uint8_t>(s.value);
      return true;
    case kGetDescriptor: {
      if (recipient != kToDevice) return false;
      auto found = descriptor(static_cast<uint8_t>(s.value >> 8), static_cast<uint8_t>(s.value));
      if (found) data = std::move(*found);
      return found.has_value();
    }
    case kGetConfiguration: data = {configuration_}; return recipient == kToDevice;
    case kSetConfiguration:
      if (recipient != kToDevice || s.value > 1) return false;
      configuration_ = static_cast<uint8_t>(s.value);
      halted_ = 0;
      alternate_ = {};
      configuration_changed();
      return true;
    case kGetInterface:
      if (recipient != kToInterface || s.index >= descriptors_.interface_count) return false;
      data = {alternate_[s.index & 15]};
      return true;
    // No device here has alternate settings; the only one there is may be chosen.
    case kSetInterface:
      return recipient == kToInterface && s.index < descriptors_.interface_count && s.value == 0;
    case kSetSel: return speed_ == Speed::Super && s.length == 6;
    case kSetIsochDelay: return speed_ == Speed::Super;
    default: return false;
  }
}

bool UsbDevice::get_status(const Setup& s, std::vector<uint8_t>& data) const {
  uint16_t status = 0;
  switch (s.request_type & kRecipientMask) {
    case kToDevice:
      status = static_cast<uint16_t>((descriptors_.attributes >> 6 & 1) | (remote_wakeup_ ? 2 : 0));
      break;
    case kToInterface: break;
    case kToEndpoint: status = halted(s.index & 15, (s.index & 0x80) != 0) ? 1 : 0; break;
    default: return false;
  }
  put16(data, status);
  return true;
}

bool UsbDevice::set_feature(const Setup& s, bool on) {
  uint8_t recipient = s.request_type & kRecipientMask;
  if (recipient == kToDevice && s.value == kRemoteWakeup) {
    remote_wakeup_ = on;
    return true;
  }
  if (recipient == kToDevice && speed_ == Speed::Super)
    return true;  // U1, U2: links here have no power states
  if (recipient == kToInterface && speed_ == Speed::Super) return true;  // function suspend: the same
  if (recipient != kToEndpoint || s.value != kEndpointHalt) return false;
  unsigned endpoint = s.index & 15;
  bool in = (s.index & 0x80) != 0;
  if (on) {
    halt(endpoint, in);
  } else {
    halted_ &= ~(1u << halt_bit(endpoint, in));
    if (endpoint != 0) endpoint_cleared(endpoint, in);
  }
  return true;
}

std::optional<std::vector<uint8_t>> UsbDevice::descriptor(uint8_t type, uint8_t index) const {
  switch (type) {
    case kDevice: return device_descriptor();
    case kConfiguration:
      if (index != 0) return std::nullopt;
      return configuration_descriptor(kConfiguration);
    case kString: {
      auto text = string_descriptor(index);
      if (text.empty()) return std::nullopt;
      return text;
    }
    case kQualifier: {  // 9.6.2: only devices that could also run at another speed
      if (speed_ != Speed::High) return std::nullopt;
      std::vector<uint8_t> out = device_descriptor();
      return std::vector<uint8_t>{10, kQualifier, out[2], out[3], out[4], out[5], out[6], out[7], 1, 0};
    }
    case kOtherSpeed:
      if (speed_ != Speed::High || index != 0) return std::nullopt;
      return configuration_descriptor(kOtherSpeed);
    case kBos:
      if (descriptors_.bos.empty()) return std::nullopt;
      return descriptors_.bos;
    default: return std::nullopt;
  }
}

std::vector<uint8_t> UsbDevice::device_descriptor() const {
  const Descriptors& d = descriptors_;
  std::vector<uint8_t> out = {18, kDevice};
  put16(out, d.usb_release);
  for (uint8_t b : {d.device_class, d.device_subclass, d.device_protocol, d.max_packet0}) out.push_back(b);
  put16(out, d.vendor);
  put16(out, d.product);
  put16(out, d.release);
  out.push_back(d.manufacturer.empty() ? 0 : kManufacturer);
  out.push_back(d.product_name.empty() ? 0 : kProduct);
  out.push_back(d.serial.empty() ? 0 : kSerial);
  out.push_back(1);
  return out;
}

std::vector<uint8_t> UsbDevice::configuration_descriptor(uint8_t type) const {
  const Descriptors& d = descriptors_;
  std::vector<uint8_t> out = {9, type};
  put16(out, static_cast<uint16_t>(9 + d.interfaces.size()));
  for (uint8_t b : {d.interface_count, uint8_t{1}, uint8_t{0}, d.attributes, d.max_power}) out.push_back(b);
  out.insert(out.end(), d.interfaces.begin(), d.interfaces.end());
  return out;
}

// 9.6.7. Texts are ASCII; number 0 is the list of languages.
std::vector<uint8_t> UsbDevice::string_descriptor(uint8_t index) const {
  if (index == 0) return {4, kString, 0x09, 0x04};
  const Descriptors& d = descriptors_;
  const std::string* texts[] = {&d.manufacturer, &d.product_name, &d.serial};
  if (index > std::size(texts) || texts[index - 1]->empty()) return {};
  std::string_view text = std::string_view(*texts[index - 1]).substr(0, 126);
  std::vector<uint8_t> out = {static_cast<uint8_t>(2 + 2 * text.size()), kString};
  for (char c : text) put16(out, static_cast<uint8_t>(c));
  return out;
}

void UsbDevice::plugged(UsbPort& port, Speed speed) {
  port_ = &port;
  speed_ = speed;
  descriptors_ = describe(speed);
  bus_reset();
}

void UsbDevice::halt(unsigned endpoint, bool in) {
  halted_ |= 1u << halt_bit(endpoint & 15, in);
}

void UsbDevice::ready(unsigned endpoint) {
  if (port_ != nullptr) port_->ready(endpoint);
}

void UsbDevice::wake_host() {
  if (port_ != nullptr && remote_wakeup_) port_->wake_host();
}

void UsbDevice::bus_reset() {
  address_ = new_address_ = configuration_ = 0;
  alternate_ = {};
  remote_wakeup_ = false;
  halted_ = 0;
  stage_ = Stage::Idle;
  data_.clear();
  at_ = 0;
  configuration_changed();
}

void UsbDevice::reset(ResetKind) {
  bus_reset();
}

void UsbDevice::state(StateVisitor& v) {
  v.field("address", address_);
  v.field("new_address", new_address_);
  v.field("configuration", configuration_);
  v.bytes("alternate", alternate_);
  v.field("remote_wakeup", remote_wakeup_);
  v.field("halted", halted_);
  v.field("stage", stage_);
  v.field("request_type", setup_.request_type);
  v.field("request", setup_.request);
  v.field("value", setup_.value);
  v.field("index", setup_.index);
  v.field("length", setup_.length);
  std::array<uint8_t, kLargestControl> data{};
  uint16_t size = static_cast<uint16_t>(data_.size()), at = static_cast<uint16_t>(at_);
  std::ranges::copy(data_, data.begin());
  v.bytes("data", data);
  v.field("size", size);
  v.field("at", at);
  if (!v.loading()) return;
  data_.assign(data.begin(), data.begin() + std::min<size_t>(size, data.size()));
  setup_.length = std::min<uint16_t>(setup_.length, kLargestControl);
  at_ = std::min<size_t>(at, stage_ == Stage::DataOut ? setup_.length : data_.size());
  if (stage_ > Stage::Stalled) stage_ = Stage::Stalled;
  configuration_ = configuration_ != 0 ? 1 : 0;
  address_ &= 127;
  new_address_ &= 127;
  configuration_changed();
}

}  // namespace rhea::bus::usb
