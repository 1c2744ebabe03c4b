// The commands of TELNET that are found between the bytes. RFC 854 (commands), 856 (binary), 857 (echo), 858
// (suppress go ahead).
//
// What the peer offers or asks for is not answered: the four options that the server announces are all it
// has.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace rhea::chardev {

class TelnetFilter {
 public:
  // What a server says first: it echoes, there is no "go ahead", all eight bits count.
  static std::string_view greeting();

  struct Input {
    std::vector<uint8_t> bytes;
    unsigned breaks = 0;
  };
  Input take(std::span<const uint8_t> bytes);
  void restart() { state_ = State::Data; }

 private:
  enum class State : uint8_t { Data, Command, Option, Sub, SubCommand, AfterReturn };
  State state_ = State::Data;
};

}  // namespace rhea::chardev
