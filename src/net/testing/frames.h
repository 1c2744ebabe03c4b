// For tests: an endpoint that keeps what it receives, and frames to send.
#pragma once

#include <string>
#include <vector>

#include "base/endian.h"
#include "net/endpoint.h"

namespace rhea::net::testing {

class Sink final : public Endpoint {
 public:
  explicit Sink(std::string name = "sink") : Endpoint(std::move(name)) {}
  bool can_receive() override { return room != 0; }
  void receive(Frame frame, const Offload& offload) override {
    got.emplace_back(frame.begin(), frame.end());
    offloads.push_back(offload);
    if (room > 0) --room;
  }
  Takes takes() const override { return what; }
  void room_again() override { ++rooms; }
  void carrier_changed() override { ++changes; }
  std::string info() const override { return "index=0,type=sink"; }

  int room = -1;  // negative: without end
  Takes what;
  int rooms = 0, changes = 0;
  std::vector<std::vector<uint8_t>> got;
  std::vector<Offload> offloads;
};

// An Ethernet frame with IPv4 and TCP headers of 20 bytes each, its lengths set and its checksums not.
inline std::vector<uint8_t> tcp4_frame(size_t payload, uint8_t flags = 0x18) {
  std::vector<uint8_t> f(14 + 20 + 20 + payload);
  for (size_t i = 0; i < 12; ++i) f[i] = static_cast<uint8_t>(2 + i * 2);
  store_be<uint16_t>(&f[12], 0x0800);
  f[14] = 0x45;
  store_be<uint16_t>(&f[16], static_cast<uint16_t>(40 + payload));
  store_be<uint16_t>(&f[18], 0x1234);
  f[22] = 64;
  f[23] = 6;
  store_be<uint32_t>(&f[26], 0x0a00020f);
  store_be<uint32_t>(&f[30], 0x0a000202);
  store_be<uint16_t>(&f[34], 1000);
  store_be<uint16_t>(&f[36], 80);
  store_be<uint32_t>(&f[38], 0xfffffff0);
  f[46] = 0x50;
  f[47] = flags;
  for (size_t i = 0; i < payload; ++i) f[54 + i] = static_cast<uint8_t>(i * 7);
  return f;
}

// The same over IPv6.
inline std::vector<uint8_t> tcp6_frame(size_t payload) {
  std::vector<uint8_t> f(14 + 40 + 20 + payload);
  store_be<uint16_t>(&f[12], 0x86dd);
  f[14] = 0x60;
  store_be<uint16_t>(&f[18], static_cast<uint16_t>(20 + payload));
  f[20] = 6;
  for (size_t i = 22; i < 54; ++i) f[i] = static_cast<uint8_t>(i);
  f[66] = 0x50;
  f[67] = 0x18;
  for (size_t i = 0; i < payload; ++i) f[74 + i] = static_cast<uint8_t>(i * 5);
  return f;
}

}  // namespace rhea::net::testing
