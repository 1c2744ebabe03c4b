#include "display/vnc/websocket.h"

#include <algorithm>
#include <array>
#include <bit>

namespace rhea::display::vnc {

namespace {

// SHA-1, FIPS 180-4 6.1. The handshake asks for it; nothing depends on its strength.
std::array<uint8_t, 20> sha1(std::string_view text) {
  std::vector<uint8_t> message(text.begin(), text.end());
  const uint64_t bits = message.size() * 8;
  message.push_back(0x80);
  while (message.size() % 64 != 56) message.push_back(0);
  message.resize(message.size() + 8);
  store_be<uint64_t>(message.data() + message.size() - 8, bits);
  uint32_t h[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
  for (size_t block = 0; block < message.size(); block += 64) {
    uint32_t w[80];
    for (unsigned t = 0; t < 16; ++t) w[t] = load_be<uint32_t>(message.data() + block + size_t{4} * t);
    for (unsigned t = 16; t < 80; ++t) w[t] = std::rotl(w[t - 3] ^ w[t - 8] ^ w[t - 14] ^ w[t - 16], 1);
    uint32_t a = h[0], b = h[1], c = h[2], d = h[3], e = h[4];
    for (unsigned t = 0; t < 80; ++t) {
      const uint32_t f = t < 20              ? (b & c) | (~b & d)
                         : t < 40 || t >= 60 ? b ^ c ^ d
                                             : (b & c) | (b & d) | (c & d);
      constexpr uint32_t kRound[] = {0x5a827999, 0x6ed9eba1, 0x8f1bbcdc, 0xca62c1d6};
      const uint32_t next = std::rotl(a, 5) + f + e + kRound[t / 20] + w[t];
      e = d;
      d = c;
      c = std::rotl(b, 30);
      b = a;
      a = next;
    }
    const uint32_t add[5] = {a, b, c, d, e};
    for (unsigned i = 0; i < 5; ++i) h[i] += add[i];
  }
  std::array<uint8_t, 20> out{};
  for (size_t i = 0; i < 5; ++i) store_be<uint32_t>(out.data() + 4 * i, h[i]);
  return out;
}

std::string base64(std::span<const uint8_t> bytes) {
  constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (size_t i = 0; i < bytes.size(); i += 3) {
    uint32_t group = 0;
    for (size_t k = 0; k < 3; ++k) group = group << 8 | (i + k < bytes.size() ? bytes[i + k] : 0);
    for (size_t k = 0; k < 4; ++k) {
      out += i + k > bytes.size() ? '=' : kDigits[group >> (18 - 6 * k) & 0x3f];
    }
  }
  return out;
}

bool equal_ignoring_case(std::string_view a, std::string_view b) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
  return std::ranges::equal(a, b, {}, lower, lower);
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

std::string_view header(std::string_view request, std::string_view name) {
  size_t at = request.find("\r\n");
  while (at != std::string_view::npos) {
    const std::string_view rest = request.substr(at + 2);
    const std::string_view line = rest.substr(0, rest.find("\r\n"));
    const size_t colon = line.find(':');
    if (colon != std::string_view::npos && equal_ignoring_case(line.substr(0, colon), name)) {
      return trimmed(line.substr(colon + 1));
    }
    at = request.find("\r\n", at + 2);
  }
  return {};
}

bool lists(std::string_view list, std::string_view word) {
  while (!list.empty()) {
    const size_t comma = std::min(list.find(','), list.size());
    if (equal_ignoring_case(trimmed(list.substr(0, comma)), word)) return true;
    list.remove_prefix(std::min(comma + 1, list.size()));
  }
  return false;
}

}  // namespace

std::string websocket_accept(std::string_view key) {
  return base64(sha1(std::string(key) + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"));
}

std::optional<std::string> websocket_answer(std::string_view request) {
  const std::string_view key = header(request, "Sec-WebSocket-Key");
  const std::string_view protocols = header(request, "Sec-WebSocket-Protocol");
  if (!request.starts_with("GET ") || key.empty()) return std::nullopt;
  if (!lists(header(request, "Upgrade"), "websocket")) return std::nullopt;
  if (!lists(header(request, "Connection"), "upgrade")) return std::nullopt;
  if (header(request, "Sec-WebSocket-Version") != "13") return std::nullopt;
  if (!protocols.empty() && !lists(protocols, "binary")) return std::nullopt;
  std::string answer =
      "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
      "Sec-WebSocket-Accept: " +
      websocket_accept(key) + "\r\n";
  if (!protocols.empty()) answer += "Sec-WebSocket-Protocol: binary\r\n";
  return answer + "\r\n";
}

// Whether header_ holds a whole header; its values are taken over then.
bool WebSocket::take_header() {
  if (header_.size() < 2) return false;
  const unsigned length = header_[1] & 0x7f;
  const size_t extra = length == 126 ? 2 : length == 127 ? 8 : 0;
  const size_t mask = (header_[1] & 0x80) != 0 ? 4 : 0;
  if (header_.size() < 2 + extra + mask) return false;
  left_ = extra == 2   ? load_be<uint16_t>(header_.data() + 2)
          : extra == 8 ? load_be<uint64_t>(header_.data() + 2)
                       : length;
  opcode_ = header_[0] & 0x0f;
  for (size_t i = 0; i < 4; ++i) mask_[i] = mask != 0 ? header_[2 + extra + i] : 0;
  mask_at_ = 0;
  return true;
}

bool WebSocket::finish_control(Output& reply) {
  const uint8_t answer = opcode_ == kPing ? kPong : kClose;
  if (opcode_ != kPong) {
    reply.u8(0x80 | answer);
    reply.u8(control_.size());
    reply.bytes(control_);
  }
  control_.clear();
  return opcode_ != kClose;
}

bool WebSocket::receive(std::span<const uint8_t> bytes, std::vector<uint8_t>& payload, Output& reply) {
  size_t at = 0;
  while (at < bytes.size() || (in_frame_ && left_ == 0)) {
    if (!in_frame_) {
      header_.push_back(bytes[at++]);
      if (!take_header()) continue;
      const bool masked = (header_[1] & 0x80) != 0;
      const bool reserved = (header_[0] & 0x70) != 0;
      header_.clear();
      in_frame_ = true;
      const bool control = opcode_ >= kClose;
      if (!masked || reserved || opcode_ > kPong || (opcode_ > kBinary && !control)) return false;
      if (opcode_ == kText || (control && left_ > kMaxControl)) return false;
    }
    const size_t count = static_cast<size_t>(std::min<uint64_t>(left_, bytes.size() - at));
    std::vector<uint8_t>& into = opcode_ >= kClose ? control_ : payload;
    for (size_t i = 0; i < count; ++i) {
      into.push_back(static_cast<uint8_t>(bytes[at + i] ^ mask_[mask_at_++ % 4]));
    }
    at += count;
    left_ -= count;
    if (left_ != 0) continue;
    in_frame_ = false;
    if (opcode_ >= kClose && !finish_control(reply)) return false;
  }
  return true;
}

void WebSocket::frame(std::span<const uint8_t> payload, Output& out) {
  out.u8(0x80 | kBinary);
  if (payload.size() < 126) {
    out.u8(payload.size());
  } else if (payload.size() < 65536) {
    out.u8(126);
    out.u16(payload.size());
  } else {
    out.u8(127);
    out.u32(payload.size() >> 32);
    out.u32(payload.size());
  }
  out.bytes(payload);
}

}  // namespace rhea::display::vnc
