#include "devices/input/vmport.h"

#include <algorithm>
#include <utility>

#include "base/log.h"

namespace rhea::devices {

namespace {

constexpr uint32_t kMagic = 0x564d5868;  // "VMXh"
constexpr uint32_t kVersion = 6, kFailed = 0xffff0000;
constexpr uint32_t kMouseVersion = 0x3442554a;

enum Command : uint16_t {
  kGetVersion = 0x0a,
  kGetRamSize = 0x14,
  kPointerData = 39,
  kPointerStatus = 40,
  kPointerCommand = 41,
};

enum PointerCommand : uint32_t {
  kEnable = 0x45414552,
  kDisable = 0x000000f5,
  kRequestRelative = 0x4c455252,
  kRequestAbsolute = 0x53424152,
};

// General registers by encoding.
enum Register { kEax, kEcx, kEdx, kEbx };

constexpr uint32_t kButtonBits[display::kButtonCount] = {0x20, 0x08, 0x10, 0, 0};
constexpr int32_t kMostWheel = 127;

}  // namespace

VmPort::VmPort(Wiring wiring) : wiring_(std::move(wiring)) {}

VmPort::~VmPort() {
  set_absolute(false);
}

void VmPort::reset(bus::ResetKind) {
  set_absolute(false);
  head_ = count_ = 0;
  enabled_ = failed_ = false;
  buttons_ = 0;
  x_ = y_ = 0;
  wheel_ = 0;
}

void VmPort::state(bus::StateVisitor& v) {
  for (uint32_t& word : queue_) v.field("word", word);
  v.field("head", head_);
  v.field("count", count_);
  v.field("enabled", enabled_);
  v.field("failed", failed_);
  v.field("absolute", absolute_);
  v.field("buttons", buttons_);
  v.field("x", x_);
  v.field("y", y_);
  v.field("wheel", wheel_);
  if (!v.loading()) return;
  head_ %= kCapacity;
  count_ = std::min(count_, kCapacity);
  wheel_ = std::clamp(wheel_, -kMostWheel, kMostWheel);
  set_absolute(absolute_);
}

// Only while the guest asked for places does the hub know of this mouse.
void VmPort::set_absolute(bool on) {
  absolute_ = on;
  if (wiring_.input == nullptr || std::exchange(registered_, on) == on) return;
  if (on) {
    wiring_.input->add(*this);
    wiring_.input->activate(*this);
  } else {
    wiring_.input->remove(*this);
  }
}

void VmPort::push(uint32_t word) {
  queue_[(head_ + count_) % kCapacity] = word;
  ++count_;
}

void VmPort::pointer_command(uint32_t what) {
  switch (what) {
    case kEnable:
      head_ = count_ = 0;
      failed_ = false;
      enabled_ = true;
      push(kMouseVersion);
      break;
    case kDisable:
      set_absolute(false);
      enabled_ = false;
      head_ = count_ = 0;
      failed_ = true;  // what is read now is an error
      break;
    case kRequestRelative: set_absolute(false); break;
    case kRequestAbsolute:
      if (enabled_) set_absolute(true);
      break;
    default: guest_error("vmmouse: unknown command {:#x}", what); break;
  }
}

// EBX words of the queue into EAX, EBX, ECX, EDX. Anything else than what is there is an error that ENABLE
// ends.
void VmPort::pointer_data(uint64_t* registers) {
  constexpr Register kInto[] = {kEax, kEbx, kEcx, kEdx};
  const auto words = static_cast<uint32_t>(registers[kEbx]);
  if (words == 0 || words > kPacket || words > count_) {
    guest_error("vmmouse: {} words asked for, {} there are", words, count_);
    failed_ = true;
    return;
  }
  for (uint32_t i = 0; i < words; ++i) {
    registers[kInto[i]] = queue_[head_];
    head_ = (head_ + 1) % kCapacity;
    --count_;
  }
}

uint64_t VmPort::io_read(uint64_t, unsigned) {
  uint64_t* registers = wiring_.registers ? wiring_.registers() : nullptr;
  constexpr uint64_t kNobody = 0xffffffff;
  if (registers == nullptr || static_cast<uint32_t>(registers[kEax]) != kMagic) return kNobody;
  const auto command = static_cast<uint16_t>(registers[kEcx]);
  switch (command) {
    case kGetVersion: registers[kEbx] = kMagic; return kVersion;
    case kGetRamSize: registers[kEbx] = 0x1177; return static_cast<uint32_t>(wiring_.ram_bytes);
    case kPointerStatus: return failed_ ? kFailed : count_;
    case kPointerCommand: pointer_command(static_cast<uint32_t>(registers[kEbx])); return 0;
    case kPointerData: pointer_data(registers); return static_cast<uint32_t>(registers[kEax]);
    default: guest_error("vmport: unknown command {:#x}", command); return kNobody;
  }
}

void VmPort::io_write(uint64_t offset, unsigned size, uint64_t) {
  static_cast<void>(io_read(offset, size));
}

void VmPort::place(int x, int y) {
  const auto scaled = [](int at) { return static_cast<uint16_t>(std::clamp(at, 0, display::kMaxPlace) * 2); };
  x_ = scaled(x);
  y_ = scaled(y);
}

void VmPort::button(display::Button button, bool down) {
  const uint32_t bit = kButtonBits[static_cast<unsigned>(button) % display::kButtonCount];
  const uint32_t before = buttons_;
  buttons_ = down ? buttons_ | bit : buttons_ & ~bit;
  if (buttons_ != before) sync();  // a press and its release are two reports
}

void VmPort::wheel(int dz, int) {
  wheel_ = std::clamp(wheel_ + std::clamp(dz, -kMostWheel, kMostWheel), -kMostWheel, kMostWheel);
}

void VmPort::sync() {
  if (!absolute_ || count_ + kPacket > kCapacity) return;
  push(buttons_);
  push(x_);
  push(y_);
  push(static_cast<uint32_t>(std::exchange(wheel_, 0)));
  if (wiring_.signal) wiring_.signal();
}

}  // namespace rhea::devices
