#include "devices/bridge/smbus_host.h"

#include <vector>

namespace rhea::devices {

namespace {

// 7.3.1 .. 7.3.8.
enum Register : uint64_t {
  kHostStatus,
  kSlaveStatus,
  kHostControl,
  kHostCommand,
  kHostAddress,
  kData0,
  kData1,
  kBlock
};

constexpr uint8_t kInterrupt = 0x02, kDeviceError = 0x04, kStatusBits = 0x1e;
constexpr uint8_t kStart = 0x40, kKill = 0x02;
enum Protocol : unsigned { kQuick, kByte, kByteData, kWordData, kReserved, kBlockData };

}  // namespace

bool SmbusEeprom::smbus_write(std::span<const uint8_t> bytes) {
  if (!bytes.empty()) pointer_ = bytes[0];
  for (size_t i = 1; i < bytes.size(); ++i) bytes_[pointer_++] = bytes[i];
  return true;
}

void SmbusHost::reset() {
  status_ = control_ = command_ = address_ = data0_ = data1_ = index_ = 0;
  block_ = {};
}

void SmbusHost::state(bus::StateVisitor& v) {
  v.enter("smbus");
  v.field("status", status_);
  v.field("control", control_);
  v.field("command", command_);
  v.field("address", address_);
  v.field("data0", data0_);
  v.field("data1", data1_);
  v.field("index", index_);
  v.bytes("block", block_);
  v.leave();
}

uint64_t SmbusHost::io_read(uint64_t offset, unsigned) {
  switch (offset) {
    case kHostStatus: return status_;
    case kSlaveStatus: return 0;
    case kHostControl:
      index_ = 0;  // 7.3.8: reading it rewinds the block buffer
      return control_;
    case kHostCommand: return command_;
    case kHostAddress: return address_;
    case kData0: return data0_;
    case kData1: return data1_;
    case kBlock: return block_[index_++ & 31];
    default: return offset < 16 ? 0 : 0xff;
  }
}

void SmbusHost::io_write(uint64_t offset, unsigned, uint64_t value) {
  const uint8_t byte = static_cast<uint8_t>(value);
  switch (offset) {
    case kHostStatus: status_ = static_cast<uint8_t>(status_ & ~(byte & kStatusBits)); break;
    case kHostControl:
      control_ = byte & static_cast<uint8_t>(~(kStart | kKill));
      if ((byte & kStart) != 0 && (byte & kKill) == 0) execute();
      break;
    case kHostCommand: command_ = byte; break;
    case kHostAddress: address_ = byte; break;
    case kData0: data0_ = byte; break;
    case kData1: data1_ = byte; break;
    case kBlock: block_[index_++ & 31] = byte; break;
    default: break;
  }
}

void SmbusHost::execute() {
  SmbusTarget* target = targets_[address_ >> 1];
  const bool reading = (address_ & 1) != 0;
  const bool done = target != nullptr && transfer(*target, (control_ >> 2) & 7, reading);
  status_ = static_cast<uint8_t>(status_ | (done ? kInterrupt : kDeviceError));
  index_ = 0;
}

bool SmbusHost::transfer(SmbusTarget& target, unsigned protocol, bool reading) {
  const std::array<uint8_t, 3> out = {command_, data0_, data1_};
  const auto get = [&target](uint8_t& into) {
    const auto byte = target.smbus_read();
    if (byte) into = *byte;
    return byte.has_value();
  };
  const std::span<const uint8_t> bytes(out);
  switch (protocol) {
    case kQuick: return true;
    case kByte: return reading ? get(data0_) : target.smbus_write(bytes.first(1));
    case kByteData:
      if (!reading) return target.smbus_write(bytes.first(2));
      return target.smbus_write(bytes.first(1)) && get(data0_);
    case kWordData:
      if (!reading) return target.smbus_write(bytes.first(3));
      return target.smbus_write(bytes.first(1)) && get(data0_) && get(data1_);
    case kBlockData: return block(target, reading);
    default: return false;
  }
}

bool SmbusHost::block(SmbusTarget& target, bool reading) {
  std::vector<uint8_t> out = {command_};
  if (reading) {
    if (!target.smbus_write(out)) return false;
    const auto count = target.smbus_read();
    if (!count || *count > block_.size()) return false;
    data0_ = *count;
    for (unsigned i = 0; i < *count; ++i) block_[i] = target.smbus_read().value_or(0xff);
    return true;
  }
  if (data0_ > block_.size()) return false;
  out.push_back(data0_);
  out.insert(out.end(), block_.begin(), block_.begin() + data0_);
  return target.smbus_write(out);
}

}  // namespace rhea::devices
