#include "devices/net/e1000_eeprom.h"

#include "devices/net/e1000_regs.h"

namespace rhea::devices::e1000 {

namespace {

// 5.2.
constexpr unsigned kChecksumWord = 0x3f;
constexpr uint16_t kChecksum = 0xbaba;
constexpr unsigned kCommandBits = 9;  // start, opcode, address
constexpr uint32_t kGuestWires = kEecdClock | kEecdSelect | kEecdIn | 0x30 | kEecdRequest;

}  // namespace

Eeprom::Eeprom(const net::Mac& mac, uint16_t device_id) {
  for (unsigned i = 0; i < 3; ++i) words_[i] = static_cast<uint16_t>(mac[2 * i] | mac[2 * i + 1] << 8);
  words_[0x04] = 0xffff;  // no image version
  words_[0x05] = 0xffff;
  words_[0x08] = 0xffff;  // no part number
  words_[0x09] = 0xffff;
  words_[0x0a] = 0x4408;  // initialisation control 1: valid
  words_[0x0b] = 0x1100;  // subsystem
  words_[0x0c] = 0x1af4;  // its vendor
  words_[0x0d] = device_id;
  words_[0x0e] = 0x8086;
  words_[0x0f] = 0x3040;  // initialisation control 2: flow control both ways
  words_[0x21] = 0x7863;  // control of the software-definable pins
  words_[0x2f] = 0x0602;  // LED defaults
  uint16_t sum = 0;
  for (unsigned i = 0; i < kChecksumWord; ++i) sum = static_cast<uint16_t>(sum + words_[i]);
  words_[kChecksumWord] = static_cast<uint16_t>(kChecksum - sum);
}

net::Mac Eeprom::mac() const {
  net::Mac mac{};
  for (unsigned i = 0; i < mac.size(); ++i) mac[i] = static_cast<uint8_t>(words_[i / 2] >> (i % 2 * 8));
  return mac;
}

uint32_t Eeprom::read_wires() const {
  uint32_t value = wires_ | kEecdPresent;
  if ((wires_ & kEecdRequest) != 0) value |= kEecdGrant;
  if (out_) value |= kEecdOut;
  return value;
}

void Eeprom::write_wires(uint32_t value) {
  const uint32_t before = wires_;
  wires_ = value & kGuestWires;
  if ((wires_ & kEecdSelect) == 0) {
    phase_ = Phase::Idle;
    out_ = true;
    return;
  }
  if ((before & kEecdSelect) == 0) {
    phase_ = Phase::Idle;
    shift_ = bits_ = 0;
  }
  const bool rising = (before & kEecdClock) == 0 && (wires_ & kEecdClock) != 0;
  if (rising) clock_in((wires_ & kEecdIn) != 0);
}

void Eeprom::clock_in(bool bit) {
  switch (phase_) {
    case Phase::Idle:
      if (!bit) break;  // the start bit
      phase_ = Phase::Command;
      shift_ = 1;
      bits_ = 1;
      break;
    case Phase::Command:
      shift_ = static_cast<uint16_t>(shift_ << 1 | (bit ? 1 : 0));
      if (++bits_ == kCommandBits) command_complete();
      break;
    case Phase::Read:
      out_ = (words_[address_ % kWords] >> (15 - bits_ % 16) & 1) != 0;
      if (++bits_ != 16) break;
      bits_ = 0;
      address_ = static_cast<uint8_t>((address_ + 1) % kWords);
      break;
    case Phase::Write:
      shift_ = static_cast<uint16_t>(shift_ << 1 | (bit ? 1 : 0));
      if (++bits_ != 16) break;
      if (write_enabled_) words_[address_ % kWords] = shift_;
      out_ = true;  // ready at once
      phase_ = Phase::Idle;
      break;
  }
}

void Eeprom::command_complete() {
  address_ = static_cast<uint8_t>(shift_ & (kWords - 1));
  bits_ = 0;
  switch (shift_ >> 6 & 3) {
    case 2:
      phase_ = Phase::Read;
      out_ = false;  // a zero goes before the data
      break;
    case 1:
      phase_ = Phase::Write;
      shift_ = 0;
      break;
    case 0:
      if (address_ >> 4 == 3) write_enabled_ = true;
      if (address_ >> 4 == 0) write_enabled_ = false;
      phase_ = Phase::Idle;
      break;
    default: phase_ = Phase::Idle; break;
  }
}

void Eeprom::reset() {
  wires_ = 0;
  phase_ = Phase::Idle;
  shift_ = bits_ = address_ = 0;
  out_ = true;
  write_enabled_ = false;
}

void Eeprom::state(bus::StateVisitor& v) {
  v.enter("eeprom");
  for (uint16_t& word : words_) v.field("word", word);
  v.field("wires", wires_);
  uint8_t phase = static_cast<uint8_t>(phase_);
  v.field("phase", phase);
  v.field("shift", shift_);
  v.field("bits", bits_);
  v.field("address", address_);
  v.field("out", out_);
  v.field("write_enabled", write_enabled_);
  v.leave();
  if (!v.loading()) return;
  phase_ = phase > static_cast<uint8_t>(Phase::Write) ? Phase::Idle : static_cast<Phase>(phase);
  bits_ = static_cast<uint8_t>(bits_ % (phase_ == Phase::Command ? kCommandBits : 16));
  address_ %= kWords;
  wires_ &= kGuestWires;
}

}  // namespace rhea::devices::e1000
