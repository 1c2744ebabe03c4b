// Where VNC listens, or connects to: TCP addresses and UNIX sockets. ip(7), unix(7).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "async/event_loop.h"
#include "base/result.h"

namespace rhea::display::vnc {

struct Address {
  std::string path;                  // UNIX; empty: TCP
  std::string host;                  // empty: all of this machine's addresses
  uint16_t port = 0, last_port = 0;  // the first that is free of these; last_port 0: just the one
  bool ipv4 = true, ipv6 = true;
};

// One end of a connection, in words; a UNIX socket's path is its service.
struct Endpoint {
  std::string host, service, family;  // "ipv4", "ipv6", "unix"
  bool websocket = false;
};

Endpoint peer_of(int fd);
Endpoint local_of(int fd);
// Errors: what the host says, with the address. May wait for the other side.
Result<int> connect_to(const Address& address);

class ListeningSocket {
 public:
  using Accepted = std::function<void(int fd)>;  // takes the descriptor
  // One socket for each of the address's families. Errors: Busy (no port is free) and what the host says.
  static Result<std::vector<std::unique_ptr<ListeningSocket>>> open(async::EventLoop& loop,
                                                                    const Address& address,
                                                                    Accepted accepted);
  ~ListeningSocket();
  ListeningSocket(const ListeningSocket&) = delete;
  ListeningSocket& operator=(const ListeningSocket&) = delete;
  const Endpoint& endpoint() const { return endpoint_; }
  void set_websocket(bool websocket) { endpoint_.websocket = websocket; }

 private:
  ListeningSocket(int fd, std::string path, Accepted accepted);
  Result<> watch(async::EventLoop& loop);
  void accept_one();

  int fd_;
  std::string path_;
  Accepted accepted_;
  Endpoint endpoint_;
  std::unique_ptr<async::EventLoop::Watch> watch_;
};

}  // namespace rhea::display::vnc
