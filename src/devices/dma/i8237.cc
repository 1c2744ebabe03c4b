#include "devices/dma/i8237.h"

#include <algorithm>

namespace rhea::devices {

namespace {

// Registers above the channels' address and count.
enum Register : unsigned {
  kCommand = 8,
  kRequest,
  kSingleMask,
  kMode,
  kClearFlipFlop,
  kMasterClear,
  kClearMask,
  kAllMask
};

constexpr uint8_t kDisabled = 0x04;  // command register
constexpr uint8_t kAutoInitialize = 0x10, kDecrement = 0x20, kTypeMask = 0x0c, kTypeWrite = 0x04,
                  kTypeRead = 0x08;

// Which page register is which channel's.
constexpr std::array<uint8_t, 8> kPageOf = {7, 3, 1, 2, 15, 11, 9, 10};

}  // namespace

void I8237Pair::Controller::clear() {
  command = status = requests = temporary = 0;
  mask = 0x0f;
  high_byte = false;
}

void I8237Pair::Controller::visit(bus::StateVisitor& v, std::string_view name) {
  v.enter(name);
  for (Channel& c : channels) {
    v.enter("channel");
    v.field("base_address", c.base_address);
    v.field("base_count", c.base_count);
    v.field("address", c.address);
    v.field("count", c.count);
    v.field("mode", c.mode);
    v.leave();
  }
  v.field("command", command);
  v.field("status", status);
  v.field("requests", requests);
  v.field("mask", mask);
  v.field("temporary", temporary);
  v.field("high_byte", high_byte);
  v.leave();
}

uint8_t I8237Pair::Controller::read(unsigned reg) {
  if (reg < kCommand) {
    const Channel& c = channels[reg / 2];
    const uint16_t value = (reg & 1) != 0 ? c.count : c.address;
    const bool high = high_byte;
    high_byte = !high_byte;
    return static_cast<uint8_t>(high ? value >> 8 : value);
  }
  if (reg == kCommand) {
    const uint8_t value = static_cast<uint8_t>(status | requests << 4);
    status = 0;  // reading clears the terminal counts
    return value;
  }
  if (reg == kAllMask) return static_cast<uint8_t>(0xf0 | mask);
  return reg == kMasterClear ? temporary : 0xff;
}

void I8237Pair::Controller::write(unsigned reg, uint8_t value) {
  const uint8_t bit = static_cast<uint8_t>(1u << (value & 3));
  if (reg < kCommand) {
    Channel& c = channels[reg / 2];
    uint16_t& base = (reg & 1) != 0 ? c.base_count : c.base_address;
    base = static_cast<uint16_t>(high_byte ? (base & 0x00ff) | value << 8 : (base & 0xff00) | value);
    ((reg & 1) != 0 ? c.count : c.address) = base;
    high_byte = !high_byte;
    return;
  }
  switch (reg) {
    case kCommand: command = value; break;
    case kRequest:
      requests = static_cast<uint8_t>((value & 4) != 0 ? requests | bit : requests & ~bit);
      break;
    case kSingleMask: mask = static_cast<uint8_t>((value & 4) != 0 ? mask | bit : mask & ~bit); break;
    case kMode: channels[value & 3].mode = value; break;
    case kClearFlipFlop: high_byte = false; break;
    case kMasterClear: clear(); break;
    case kClearMask: mask = 0; break;
    default: mask = value & 0x0f; break;
  }
}

void I8237Pair::reset(bus::ResetKind) {
  controllers_ = {};
  pages_ = {};
}

void I8237Pair::state(bus::StateVisitor& v) {
  controllers_[0].visit(v, "first");
  controllers_[1].visit(v, "second");
  v.bytes("pages", pages_);
}

uint64_t I8237Pair::io_read(uint64_t offset, unsigned) {
  if (offset < kSecond) return controllers_[0].read(static_cast<unsigned>(offset));
  if (offset < kPages) return controllers_[1].read(static_cast<unsigned>(offset - kSecond) / 2);
  return offset < kIoSize ? pages_[offset - kPages] : 0xff;
}

void I8237Pair::io_write(uint64_t offset, unsigned, uint64_t value) {
  const uint8_t byte = static_cast<uint8_t>(value);
  if (offset < kSecond)
    controllers_[0].write(static_cast<unsigned>(offset), byte);
  else if (offset < kPages)
    controllers_[1].write(static_cast<unsigned>(offset - kSecond) / 2, byte);
  else if (offset < kIoSize)
    pages_[offset - kPages] = byte;
}

void I8237Pair::request(unsigned channel, bool level) {
  Controller& owner = controllers_[(channel >> 2) & 1];
  const unsigned bit = 1u << (channel & 3);
  owner.requests = static_cast<uint8_t>(level ? owner.requests | bit : owner.requests & ~bit);
}

bool I8237Pair::terminal_count(unsigned channel) const {
  return (controllers_[(channel >> 2) & 1].status >> (channel & 3) & 1) != 0;
}

size_t I8237Pair::transfer(unsigned channel, size_t bytes, std::span<uint8_t> to,
                           std::span<const uint8_t> from) {
  Controller& owner = controllers_[(channel >> 2) & 1];
  Channel& c = owner.channels[channel & 3];
  const unsigned bit = 1u << (channel & 3);
  const unsigned shift = channel >= 4 ? 1 : 0;  // words
  const size_t unit = size_t{1} << shift;
  size_t done = 0;
  while (bytes - done >= unit && (owner.mask & bit) == 0 && (owner.command & kDisabled) == 0) {
    // The page gives the address bits above the 16 (or, for words, 17) that the controller counts.
    const uint64_t page = uint64_t{pages_[kPageOf[channel & 7]]} << 16;
    const uint64_t at =
        shift == 0 ? page | c.address : (page & ~uint64_t{0x1ffff}) | uint64_t{c.address} << 1;
    const uint8_t type = c.mode & kTypeMask;
    if (type == kTypeRead && !to.empty()) static_cast<void>(wiring_.memory.read(at, to.subspan(done, unit)));
    if (type == kTypeWrite && !from.empty())
      static_cast<void>(wiring_.memory.write(at, from.subspan(done, unit)));
    done += unit;
    c.address = static_cast<uint16_t>((c.mode & kDecrement) != 0 ? c.address - 1 : c.address + 1);
    if (c.count-- != 0) continue;
    owner.status = static_cast<uint8_t>(owner.status | bit);
    if ((c.mode & kAutoInitialize) == 0) {
      owner.mask = static_cast<uint8_t>(owner.mask | bit);
      break;
    }
    c.address = c.base_address;
    c.count = c.base_count;
    break;
  }
  return done;
}

}  // namespace rhea::devices
