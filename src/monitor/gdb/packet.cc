#include "monitor/gdb/packet.h"

namespace rhea::gdb {

namespace {

constexpr char kDigits[] = "0123456789abcdef";
constexpr uint8_t kEscape = '}';

int digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

std::vector<PacketReader::Event> PacketReader::feed(std::span<const uint8_t> bytes) {
  std::vector<Event> events;
  for (uint8_t byte : bytes) {
    if (state_ == State::Idle) {
      idle(byte, events);
    } else {
      body(byte, events);
    }
  }
  return events;
}

void PacketReader::idle(uint8_t byte, std::vector<Event>& events) {
  using Kind = Event::Kind;
  switch (byte) {
    case '$':
      state_ = State::Body;
      payload_.clear();
      too_long_ = false;
      sum_ = 0;
      return;
    case '+': events.push_back({Kind::Ack, {}}); return;
    case '-': events.push_back({Kind::Nak, {}}); return;
    case 3: events.push_back({Kind::Interrupt, {}}); return;
    default: return;  // noise between packets
  }
}

void PacketReader::append(uint8_t byte) {
  if (payload_.size() < kLargestPacket) {
    payload_ += static_cast<char>(byte);
  } else {
    too_long_ = true;
  }
}

void PacketReader::body(uint8_t byte, std::vector<Event>& events) {
  switch (state_) {
    case State::Body:
      if (byte == '$') {  // the one before was cut off
        state_ = State::Idle;
        return idle(byte, events);
      }
      if (byte == '#') {
        state_ = State::Sum1;
        return;
      }
      sum_ = static_cast<uint8_t>(sum_ + byte);
      if (byte == kEscape) {
        state_ = State::Escape;
      } else {
        append(byte);
      }
      return;
    case State::Escape:
      sum_ = static_cast<uint8_t>(sum_ + byte);
      append(byte ^ 0x20);
      state_ = State::Body;
      return;
    case State::Sum1:
      first_digit_ = digit(static_cast<char>(byte));
      state_ = State::Sum2;
      return;
    case State::Sum2: {
      int second = digit(static_cast<char>(byte));
      bool good = first_digit_ >= 0 && second >= 0 && (first_digit_ << 4 | second) == sum_ && !too_long_;
      if (good) {
        events.push_back({Event::Kind::Packet, std::move(payload_)});
      } else {
        events.push_back({Event::Kind::Bad, {}});
      }
      payload_.clear();
      state_ = State::Idle;
      return;
    }
    case State::Idle: return;
  }
}

std::string frame(std::string_view payload) {
  std::string out = "$";
  uint8_t sum = 0;
  auto put = [&](uint8_t byte) {
    out += static_cast<char>(byte);
    sum = static_cast<uint8_t>(sum + byte);
  };
  for (char c : payload) {
    auto byte = static_cast<uint8_t>(c);
    if (c == '$' || c == '#' || c == '}' || c == '*') {
      put(kEscape);
      byte ^= 0x20;
    }
    put(byte);
  }
  out += '#';
  out += kDigits[sum >> 4];
  out += kDigits[sum & 15];
  return out;
}

std::string to_hex(std::span<const uint8_t> bytes) {
  std::string out;
  out.reserve(bytes.size() * 2);
  for (uint8_t byte : bytes) {
    out += kDigits[byte >> 4];
    out += kDigits[byte & 15];
  }
  return out;
}

bool from_hex(std::string_view text, std::vector<uint8_t>& out) {
  out.clear();
  if (text.size() % 2 != 0) return false;
  for (size_t i = 0; i < text.size(); i += 2) {
    int high = digit(text[i]), low = digit(text[i + 1]);
    if (high < 0 || low < 0) return false;
    out.push_back(static_cast<uint8_t>(high << 4 | low));
  }
  return true;
}

bool take_number(std::string_view& text, uint64_t& value) {
  value = 0;
  size_t n = 0;
  for (; n < text.size() && n < 16 && digit(text[n]) >= 0; ++n) {
    value = value << 4 | static_cast<uint64_t>(digit(text[n]));
  }
  text.remove_prefix(n);
  return n != 0;
}

bool take_char(std::string_view& text, char c) {
  if (text.empty() || text.front() != c) return false;
  text.remove_prefix(1);
  return true;
}

}  // namespace rhea::gdb
