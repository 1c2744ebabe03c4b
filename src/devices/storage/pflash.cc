#include "devices/storage/pflash.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "base/log.h"

namespace rhea::devices {

namespace {

// Intel 297859-004, table 2.
constexpr uint8_t kReadArray = 0xff, kProgram = 0x10, kProgramAlternate = 0x40, kErase = 0x20,
                  kClearStatus = 0x50, kLock = 0x60, kReadStatus = 0x70, kReadIdentifier = 0x90,
                  kQuery = 0x98, kBufferedProgram = 0xe8, kConfirm = 0xd0;
// Status register.
constexpr uint8_t kReady = 0x80, kEraseError = 0x20, kProgramError = 0x10;

constexpr uint8_t kManufacturer = 0x89, kDeviceCode = 0x18;

}  // namespace

void Pflash::enter(Mode mode) {
  const bool before = shows_array();
  mode_ = mode;
  if (before != shows_array() && wiring_.array_mode) wiring_.array_mode(shows_array());
}

void Pflash::reset(bus::ResetKind) {
  step_ = Step::Command;
  status_ = kReady;
  left_ = fill_ = 0;
  buffer_at_ = 0;
  buffer_ = {};
  enter(Mode::Array);
}

void Pflash::state(bus::StateVisitor& v) {
  Mode mode = mode_;
  v.field("mode", mode);
  v.field("step", step_);
  v.field("status", status_);
  v.field("left", left_);
  v.field("fill", fill_);
  v.field("buffer_at", buffer_at_);
  v.bytes("buffer", buffer_);
  if (!v.loading()) return;
  if (step_ > Step::BufferConfirm) step_ = Step::Command;
  fill_ = std::min<uint8_t>(fill_, kBuffer);
  left_ = std::min<uint8_t>(left_, static_cast<uint8_t>(kBuffer - fill_));
  if (step_ == Step::BufferData && left_ == 0) step_ = Step::BufferConfirm;
  enter(mode > Mode::Query ? Mode::Array : mode);
}

uint64_t Pflash::io_read(uint64_t offset, unsigned size) {
  if (offset > wiring_.size || size > wiring_.size - offset) return ~uint64_t{0};
  uint64_t value = 0;
  if (mode_ == Mode::Array) {
    std::memcpy(&value, wiring_.array.host() + offset, size);
    return value;
  }
  for (unsigned i = 0; i < size; ++i) {
    uint8_t byte = status_;
    if (mode_ == Mode::Identifier) {
      constexpr std::array<uint8_t, 2> kCodes = {kManufacturer, kDeviceCode};
      const uint64_t at = (offset + i) & 0xff;
      byte = at < kCodes.size() ? kCodes[at] : 0;
    } else if (mode_ == Mode::Query) {
      byte = query((offset + i) & 0xff);
    }
    value |= uint64_t{byte} << (8 * i);
  }
  return value;
}

// JESD68.01, table 3: from 0x10 on.
uint8_t Pflash::query(uint64_t offset) const {
  const uint64_t blocks = wiring_.size / kBlock - 1;
  const std::array<uint8_t, 0x2a> table = {'Q',
                                           'R',
                                           'Y',
                                           0x01,
                                           0x00,
                                           0x31,
                                           0x00,
                                           0,
                                           0,
                                           0,
                                           0,  // command set 1, its table at 0x31; no other
                                           0x45,
                                           0x55,
                                           0,
                                           0,  // 4.5 V to 5.5 V; no VPP pin
                                           7,
                                           7,
                                           10,
                                           0,
                                           4,
                                           4,
                                           4,
                                           0,  // typical times, and how much longer at most
                                           static_cast<uint8_t>(std::bit_width(wiring_.size - 1)),
                                           0,
                                           0,
                                           static_cast<uint8_t>(std::bit_width(kBuffer - 1u)),
                                           0,
                                           1,  // one region of equal blocks
                                           static_cast<uint8_t>(blocks),
                                           static_cast<uint8_t>(blocks >> 8),
                                           static_cast<uint8_t>(kBlock >> 8),
                                           static_cast<uint8_t>(kBlock >> 16),
                                           'P',
                                           'R',
                                           'I',
                                           '1',
                                           '0',
                                           0,
                                           0,
                                           0,
                                           0};
  return offset >= 0x10 && offset - 0x10 < table.size() ? table[offset - 0x10] : 0;
}

void Pflash::io_write(uint64_t offset, unsigned size, uint64_t value) {
  if (offset > wiring_.size || size > wiring_.size - offset) return;
  if (step_ == Step::Command) {
    command(static_cast<uint8_t>(value));
  } else {
    second(offset, size, value);
  }
}

void Pflash::command(uint8_t code) {
  switch (code) {
    case kProgram:
    case kProgramAlternate: step_ = Step::Program; return enter(Mode::Status);
    case kErase: step_ = Step::Erase; return enter(Mode::Status);
    case kLock: step_ = Step::Lock; return enter(Mode::Status);
    case kBufferedProgram:
      step_ = Step::BufferCount;
      status_ |= kReady;  // the buffer is free
      return enter(Mode::Status);
    case kClearStatus: status_ = 0; return enter(Mode::Array);
    case kReadStatus: return enter(Mode::Status);
    case kReadIdentifier: return enter(Mode::Identifier);
    case kQuery: return enter(Mode::Query);
    case kReadArray:
    case 0x00:
    case 0xf0: return enter(Mode::Array);
    default: guest_error("pflash: unknown command {:#04x}", code); return enter(Mode::Array);
  }
}

void Pflash::second(uint64_t offset, unsigned size, uint64_t value) {
  const uint8_t byte = static_cast<uint8_t>(value);
  switch (step_) {
    case Step::Program: program(offset, size, value); return;
    case Step::Erase: erase(offset, byte); return;
    case Step::Lock:
      step_ = Step::Command;
      if (byte == kReadArray) return enter(Mode::Array);
      status_ |= kReady;
      return;
    case Step::BufferCount:
      left_ = static_cast<uint8_t>(std::min<unsigned>(byte, kBuffer - 1) + 1);
      fill_ = 0;
      step_ = Step::BufferData;
      return;
    case Step::BufferData: buffer_data(offset, size, value); return;
    default: buffer_confirm(byte); return;
  }
}

void Pflash::finish(uint8_t error) {
  status_ = static_cast<uint8_t>(status_ | kReady | error);
  step_ = Step::Command;
}

// A program operation clears bits; setting them takes an erase.
void Pflash::program(uint64_t offset, unsigned size, uint64_t value) {
  if (wiring_.read_only) return finish(kProgramError);
  uint8_t* at = wiring_.array.host() + offset;
  for (unsigned i = 0; i < size; ++i) at[i] = static_cast<uint8_t>(at[i] & value >> (8 * i));
  wiring_.array.note_written(offset, size);
  if (wiring_.changed) wiring_.changed(offset, size);
  finish(0);
}

void Pflash::erase(uint64_t offset, uint8_t code) {
  if (code != kConfirm) {
    // Another command in its place is a sequence error: both bits.
    finish(kEraseError | kProgramError);
    return code == kReadArray ? enter(Mode::Array) : void();
  }
  if (wiring_.read_only) return finish(kEraseError);
  const uint64_t block = offset & ~(kBlock - 1);
  std::memset(wiring_.array.host() + block, 0xff, kBlock);
  wiring_.array.note_written(block, kBlock);
  if (wiring_.changed) wiring_.changed(block, kBlock);
  finish(0);
}

void Pflash::buffer_data(uint64_t offset, unsigned size, uint64_t value) {
  if (fill_ == 0) buffer_at_ = offset;
  for (unsigned i = 0; i < size && left_ != 0; ++i, --left_)
    buffer_[fill_++] = static_cast<uint8_t>(value >> (8 * i));
  if (left_ == 0) step_ = Step::BufferConfirm;
}

void Pflash::buffer_confirm(uint8_t code) {
  const uint64_t room = buffer_at_ < wiring_.size ? wiring_.size - buffer_at_ : 0;
  if (code != kConfirm || wiring_.read_only || fill_ > room) return finish(kProgramError);
  for (unsigned i = 0; i < fill_; ++i) wiring_.array.host()[buffer_at_ + i] &= buffer_[i];
  wiring_.array.note_written(buffer_at_, fill_);
  if (wiring_.changed && fill_ != 0) wiring_.changed(buffer_at_, fill_);
  finish(0);
}

}  // namespace rhea::devices
