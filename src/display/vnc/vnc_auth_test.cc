#include "display/vnc/vnc_auth.h"

#include <gtest/gtest.h>

#include "display/vnc/websocket.h"

namespace rhea::display::vnc {
namespace {

TEST(Des, known_answer) {
  EXPECT_EQ(des_encrypt(0x133457799bbcdff1, 0x0123456789abcdef), 0x85e813540f0ab405u);
  EXPECT_EQ(des_encrypt(0, 0), 0x8ca64de9c1b123a7u);
}

TEST(VncAuth, eight_characters_count) {
  std::array<uint8_t, kChallengeSize> challenge{1, 2, 3};
  EXPECT_EQ(vnc_auth_answer(challenge, "password"), vnc_auth_answer(challenge, "password and more"));
  EXPECT_NE(vnc_auth_answer(challenge, "password"), vnc_auth_answer(challenge, "passwore"));
}

constexpr std::string_view kRequest =
    "GET / HTTP/1.1\r\nHost: x\r\nupgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n";

TEST(WebSocket, handshake_of_the_specification) {
  EXPECT_EQ(websocket_accept("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
  EXPECT_TRUE(websocket_answer(kRequest));
  EXPECT_TRUE(websocket_answer(std::string(kRequest) + "Sec-WebSocket-Protocol: chat, binary\r\n"));
  EXPECT_FALSE(websocket_answer(std::string(kRequest) + "Sec-WebSocket-Protocol: base64\r\n"));
  EXPECT_FALSE(websocket_answer("GET / HTTP/1.1\r\nHost: x\r\n"));
  EXPECT_FALSE(websocket_answer(""));
}

TEST(WebSocket, frames_arrive_byte_by_byte) {
  WebSocket socket;
  std::vector<uint8_t> payload;
  Output reply;
  const std::vector<uint8_t> bytes{0x82, 0x83, 1, 2, 3, 4, 'a' ^ 1, 'b' ^ 2, 'c' ^ 3,  // "abc"
                                   0x89, 0x81, 0, 0, 0, 0, 'p',                        // ping
                                   0x82, 0x80, 1, 2, 3, 4,                             // nothing
                                   0x82, 0x81, 0, 0, 0, 0, 'd'};
  for (const uint8_t byte : bytes) EXPECT_TRUE(socket.receive({&byte, 1}, payload, reply));
  EXPECT_EQ(std::string(payload.begin(), payload.end()), "abcd");
  EXPECT_EQ(std::vector<uint8_t>(reply.view().begin(), reply.view().end()),
            (std::vector<uint8_t>{0x8a, 1, 'p'}));
}

TEST(WebSocket, what_breaks_the_protocol_ends_it) {
  const std::vector<std::vector<uint8_t>> bad = {
      {0x82, 0x01, 'a'},                  // not masked
      {0x81, 0x81, 0, 0, 0, 0, 'a'},      // text
      {0xc2, 0x81, 0, 0, 0, 0, 'a'},      // reserved bit
      {0x83, 0x81, 0, 0, 0, 0, 'a'},      // unknown opcode
      {0x89, 0xfe, 0x10, 0, 0, 0, 0, 0},  // a long ping
      {0x88, 0x80, 0, 0, 0, 0},           // close
  };
  for (const auto& bytes : bad) {
    WebSocket socket;
    std::vector<uint8_t> payload;
    Output reply;
    EXPECT_FALSE(socket.receive(bytes, payload, reply));
  }
}

}  // namespace
}  // namespace rhea::display::vnc
