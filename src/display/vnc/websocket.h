// VNC inside a WebSocket, for viewers in browsers. RFC 6455: the opening handshake of a server and binary
// frames; subprotocol "binary". What a peer sends is untrusted.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "display/vnc/wire.h"

namespace rhea::display::vnc {

inline constexpr size_t kMaxHandshake = 8 << 10;

// The value of Sec-WebSocket-Accept for a client's key.
std::string websocket_accept(std::string_view key);
// The answer to a client's request (all of it up to the empty line), or nothing: it is no WebSocket request.
std::optional<std::string> websocket_answer(std::string_view request);

// One connection's frames.
class WebSocket {
 public:
  // Takes what the peer sent; appends the payload to `payload` and answers that must be sent (pong, close) to
  // `reply`. False: the peer broke the protocol or closed, and the connection ends after `reply` is sent.
  bool receive(std::span<const uint8_t> bytes, std::vector<uint8_t>& payload, Output& reply);
  // Wraps bytes into one frame.
  static void frame(std::span<const uint8_t> payload, Output& out);

 private:
  enum Opcode : uint8_t { kContinuation = 0, kText = 1, kBinary = 2, kClose = 8, kPing = 9, kPong = 10 };
  static constexpr size_t kMaxControl = 125;
  bool take_header();
  bool finish_control(Output& reply);

  std::vector<uint8_t> header_;
  std::vector<uint8_t> control_;
  uint64_t left_ = 0;  // bytes of the frame's payload still to come
  uint8_t opcode_ = 0;
  uint8_t mask_[4] = {};
  unsigned mask_at_ = 0;
  bool in_frame_ = false;
};

}  // namespace rhea::display::vnc
