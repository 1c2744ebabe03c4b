#include "chardev/telnet.h"

namespace rhea::chardev {

namespace {
constexpr uint8_t kSe = 240, kBreak = 243, kInterrupt = 244, kSub = 250, kWill = 251, kDont = 254, kIac = 255;
}

std::string_view TelnetFilter::greeting() {
  using namespace std::string_view_literals;
  return "\xff\xfb\x01\xff\xfb\x03\xff\xfb\x00\xff\xfd\x00"sv;
}

TelnetFilter::Input TelnetFilter::take(std::span<const uint8_t> bytes) {
  Input out;
  for (uint8_t byte : bytes) {
    State now = state_;
    state_ = State::Data;
    switch (now) {
      case State::AfterReturn:
        // RFC 854: a carriage return is followed by a line feed or a zero.
        if (byte == 0) break;
        [[fallthrough]];
      case State::Data:
        if (byte == kIac) {
          state_ = State::Command;
          break;
        }
        out.bytes.push_back(byte);
        if (byte == '\r') state_ = State::AfterReturn;
        break;
      case State::Command:
        if (byte == kIac) out.bytes.push_back(byte);
        if (byte == kBreak || byte == kInterrupt) ++out.breaks;
        if (byte >= kWill && byte <= kDont) state_ = State::Option;
        if (byte == kSub) state_ = State::Sub;
        break;
      case State::Option: break;
      case State::Sub: state_ = byte == kIac ? State::SubCommand : State::Sub; break;
      case State::SubCommand: state_ = byte == kSe ? State::Data : State::Sub; break;
    }
  }
  return out;
}

}  // namespace rhea::chardev
