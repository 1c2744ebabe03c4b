#include "devices/input/i8042.h"

#include <utility>

#include "base/log.h"

namespace rhea::devices {

namespace {

enum Command : uint8_t {
  kReadRam = 0x20,
  kWriteRam = 0x60,
  kDisableAux = 0xa7,
  kEnableAux = 0xa8,
  kTestAux = 0xa9,
  kSelfTest = 0xaa,
  kTestKeyboard = 0xab,
  kDisableKeyboard = 0xad,
  kEnableKeyboard = 0xae,
  kReadInputPort = 0xc0,
  kReadOutputPort = 0xd0,
  kWriteOutputPort = 0xd1,
  kWriteKeyboardBuffer = 0xd2,
  kWriteAuxBuffer = 0xd3,
  kWriteAux = 0xd4,
  kDisableA20 = 0xdd,
  kEnableA20 = 0xdf,
  kPulse = 0xf0,
};

// Command byte.
constexpr uint8_t kKeyboardIrq = 0x01, kAuxIrq = 0x02, kSystemFlag = 0x04, kKeyboardOff = 0x10,
                  kAuxOff = 0x20, kTranslate = 0x40;
// Status.
constexpr uint8_t kOutputFull = 0x01, kCommandByte = 0x08, kUnlocked = 0x10, kAuxFull = 0x20;
// Output port.
constexpr uint8_t kResetLine = 0x01, kA20 = 0x02, kKeyboardFull = 0x10, kMouseFull = 0x20,
                  kIdleOutputPort = 0xcf;
constexpr uint8_t kInputPort = 0x80;  // the keyboard is not locked

// Scan codes 0x00..0x84 of set 2 in set 1; the PS/2 reference's table.
constexpr std::array<uint8_t, 0x85> kToSet1 = {
    0xff, 0x43, 0x41, 0x3f, 0x3d, 0x3b, 0x3c, 0x58, 0x64, 0x44, 0x42, 0x40, 0x3e, 0x0f, 0x29, 0x59, 0x65,
    0x38, 0x2a, 0x70, 0x1d, 0x10, 0x02, 0x5a, 0x66, 0x71, 0x2c, 0x1f, 0x1e, 0x11, 0x03, 0x5b, 0x67, 0x2e,
    0x2d, 0x20, 0x12, 0x05, 0x04, 0x5c, 0x68, 0x39, 0x2f, 0x21, 0x14, 0x13, 0x06, 0x5d, 0x69, 0x31, 0x30,
    0x23, 0x22, 0x15, 0x07, 0x5e, 0x6a, 0x72, 0x32, 0x24, 0x16, 0x08, 0x09, 0x5f, 0x6b, 0x33, 0x25, 0x17,
    0x18, 0x0b, 0x0a, 0x60, 0x6c, 0x34, 0x35, 0x26, 0x27, 0x19, 0x0c, 0x61, 0x6d, 0x73, 0x28, 0x74, 0x1a,
    0x0d, 0x62, 0x6e, 0x3a, 0x36, 0x1c, 0x1b, 0x75, 0x2b, 0x63, 0x76, 0x55, 0x56, 0x77, 0x78, 0x79, 0x7a,
    0x0e, 0x7b, 0x7c, 0x4f, 0x7d, 0x4b, 0x47, 0x7e, 0x7f, 0x6f, 0x52, 0x53, 0x50, 0x4c, 0x4d, 0x48, 0x01,
    0x45, 0x57, 0x4e, 0x51, 0x4a, 0x37, 0x49, 0x46, 0x54, 0x80, 0x81, 0x82, 0x41, 0x54};

}  // namespace

I8042::I8042(Wiring wiring) : wiring_(std::move(wiring)), keyboard_(wiring_.input), mouse_(wiring_.input) {
  keyboard_.on_data([this] { pump(); });
  mouse_.on_data([this] { pump(); });
  ram_[0] = kKeyboardIrq | kAuxIrq;
  output_port_ = kIdleOutputPort;
}

void I8042::reset(bus::ResetKind) {
  keyboard_.reset();
  mouse_.reset();
  ram_ = {};
  ram_[0] = kKeyboardIrq | kAuxIrq;
  full_ = Source::None;
  output_ = waiting_ = 0;
  last_was_command_ = break_next_ = false;
  output_port_ = kIdleOutputPort;
  if (wiring_.a20) wiring_.a20(true);
  drive();
}

void I8042::state(bus::StateVisitor& v) {
  keyboard_.state(v);
  mouse_.state(v);
  v.bytes("ram", ram_);
  v.field("full", full_);
  v.field("output", output_);
  v.field("waiting", waiting_);
  v.field("output_port", output_port_);
  v.field("last_was_command", last_was_command_);
  v.field("break_next", break_next_);
  if (!v.loading()) return;
  if (full_ > Source::Mouse) full_ = Source::None;
  if (wiring_.a20) wiring_.a20((output_port_ & kA20) != 0);
  drive();
}

void I8042::drive() {
  const bool aux = full_ == Source::Mouse || full_ == Source::ControllerAux;
  const bool any = full_ != Source::None;
  wiring_.irq1.set(any && !aux && (ram_[0] & kKeyboardIrq) != 0);
  wiring_.irq12.set(aux && (ram_[0] & kAuxIrq) != 0);
}

void I8042::answer(uint8_t byte, Source as) {
  output_ = byte;
  full_ = as;
  drive();
}

// Break codes are 0xf0 and the code in set 2, and the code with its top bit set in set 1.
uint8_t I8042::translate(uint8_t code) {
  const uint8_t top = break_next_ ? 0x80 : 0;
  break_next_ = false;
  return static_cast<uint8_t>((code < kToSet1.size() ? kToSet1[code] : code) | top);
}

// Moves the next byte of a device into the empty output buffer.
void I8042::pump() {
  if (full_ != Source::None) return;
  while ((ram_[0] & kKeyboardOff) == 0) {
    const auto byte = keyboard_.take();
    if (!byte) break;
    if ((ram_[0] & kTranslate) != 0 && *byte == 0xf0) {
      break_next_ = true;
      continue;
    }
    answer((ram_[0] & kTranslate) != 0 ? translate(*byte) : *byte, Source::Keyboard);
    return;
  }
  if ((ram_[0] & kAuxOff) != 0) return;
  if (const auto byte = mouse_.take()) {
    answer(*byte, Source::Mouse);
    if (mouse_.empty()) mouse_.resume();
  }
}

uint8_t I8042::status() const {
  uint8_t status = kUnlocked;
  if (full_ != Source::None) status |= kOutputFull;
  if (full_ == Source::Mouse || full_ == Source::ControllerAux) status |= kAuxFull;
  if (last_was_command_) status |= kCommandByte;
  if ((ram_[0] & kSystemFlag) != 0) status |= kSystemFlag;
  return status;
}

uint8_t I8042::read_data() {
  const uint8_t byte = output_;
  full_ = Source::None;
  drive();
  pump();
  return byte;
}

void I8042::write_output_port(uint8_t value) {
  const uint8_t changed = output_port_ ^ value;
  output_port_ = value;
  if ((changed & kA20) != 0 && wiring_.a20) wiring_.a20((value & kA20) != 0);
  if ((value & kResetLine) == 0 && wiring_.reset) wiring_.reset();
}

void I8042::command(uint8_t byte) {
  waiting_ = 0;
  if (byte >= kReadRam && byte < kReadRam + ram_.size()) {
    answer(ram_[byte - kReadRam]);
    return;
  }
  const bool writes_ram = byte >= kWriteRam && byte < kWriteRam + ram_.size();
  if (writes_ram || (byte >= kWriteOutputPort && byte <= kWriteAux)) {
    waiting_ = byte;
    return;
  }
  if (byte >= kPulse) {  // lines whose bits are clear are pulsed low; only the reset line is connected
    if ((byte & kResetLine) == 0 && wiring_.reset) wiring_.reset();
    return;
  }
  switch (byte) {
    case kDisableAux: ram_[0] |= kAuxOff; break;
    case kEnableAux: ram_[0] = static_cast<uint8_t>(ram_[0] & ~kAuxOff); break;
    case kTestAux:
    case kTestKeyboard: answer(0x00); break;
    case kSelfTest:
      ram_[0] |= kSystemFlag;
      answer(0x55);
      break;
    case kDisableKeyboard: ram_[0] |= kKeyboardOff; break;
    case kEnableKeyboard: ram_[0] = static_cast<uint8_t>(ram_[0] & ~kKeyboardOff); break;
    case kReadInputPort: answer(kInputPort); break;
    case kReadOutputPort: {
      const bool mouse = full_ == Source::Mouse || full_ == Source::ControllerAux;
      const unsigned full = full_ == Source::None ? 0u : mouse ? kMouseFull : kKeyboardFull;
      answer(static_cast<uint8_t>((output_port_ & ~(kMouseFull | kKeyboardFull)) | full));
      break;
    }
    case kDisableA20: write_output_port(static_cast<uint8_t>(output_port_ & ~kA20)); break;
    case kEnableA20: write_output_port(output_port_ | kA20); break;
    default: guest_error("i8042: unknown command {:#x}", byte); break;
  }
  pump();
}

void I8042::command_argument(uint8_t byte) {
  const uint8_t what = waiting_;
  waiting_ = 0;
  switch (what) {
    case kWriteOutputPort: write_output_port(byte); return;
    case kWriteKeyboardBuffer: answer(byte); return;
    case kWriteAuxBuffer: answer(byte, Source::ControllerAux); return;
    case kWriteAux: mouse_.command(byte); break;
    default:
      ram_[what & 0x1f] = byte;
      drive();
      break;
  }
  pump();
}

uint64_t I8042::io_read(uint64_t offset, unsigned) {
  if (offset == 0) return read_data();
  return offset == 1 ? status() : 0xff;
}

void I8042::io_write(uint64_t offset, unsigned, uint64_t value) {
  const uint8_t byte = static_cast<uint8_t>(value);
  if (offset > 1) return;
  last_was_command_ = offset == 1;
  if (offset == 1) {
    command(byte);
  } else if (waiting_ != 0) {
    command_argument(byte);
  } else {
    ram_[0] = static_cast<uint8_t>(ram_[0] & ~kKeyboardOff);  // sending to the keyboard enables it
    keyboard_.command(byte);
    pump();
  }
}

Port92::Port92(Wiring wiring) : wiring_(std::move(wiring)) {}

void Port92::reset(bus::ResetKind) {
  value_ = 0;
}

void Port92::state(bus::StateVisitor& v) {
  v.field("value", value_);
}

uint64_t Port92::io_read(uint64_t, unsigned) {
  return value_;
}

void Port92::io_write(uint64_t, unsigned, uint64_t value) {
  const uint8_t before = value_;
  value_ = static_cast<uint8_t>(value & 0x02);
  if (((before ^ value_) & 2) != 0 && wiring_.a20) wiring_.a20((value_ & 2) != 0);
  if ((value & 1) != 0 && wiring_.reset) wiring_.reset();
}

}  // namespace rhea::devices
