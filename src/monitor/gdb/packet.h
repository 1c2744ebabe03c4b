// The packet layer of GDB's Remote Serial Protocol. "Debugging with GDB", appendix E.1 (overview), E.11
// (packet acknowledgment).
//
// Input comes from anybody who can connect: a packet that is too long or has a wrong checksum is dropped and,
// with acknowledgments on, asked for again. One thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace rhea::gdb {

inline constexpr size_t kLargestPacket = 16384;  // payload bytes, as told in qSupported

class PacketReader {
 public:
  struct Event {
    enum class Kind : uint8_t { Packet, Bad, Interrupt, Ack, Nak } kind;
    std::string payload;  // of a Packet, escapes undone
  };
  std::vector<Event> feed(std::span<const uint8_t> bytes);

 private:
  enum class State : uint8_t { Idle, Body, Escape, Sum1, Sum2 };
  void body(uint8_t byte, std::vector<Event>& events);
  void idle(uint8_t byte, std::vector<Event>& events);
  void append(uint8_t byte);

  State state_ = State::Idle;
  std::string payload_;
  bool too_long_ = false;
  uint8_t sum_ = 0;
  int first_digit_ = 0;
};

// "$payload#sum" with the payload's '$', '#', '}' and '*' escaped.
std::string frame(std::string_view payload);

// Hexadecimal both ways. Decoding stops at the first pair that is none; nothing then means an empty or bad
// text.
std::string to_hex(std::span<const uint8_t> bytes);
bool from_hex(std::string_view text, std::vector<uint8_t>& out);
// Reads hexadecimal digits (at least one, at most 16) from the front of `text` and removes them.
bool take_number(std::string_view& text, uint64_t& value);
bool take_char(std::string_view& text, char c);

}  // namespace rhea::gdb
