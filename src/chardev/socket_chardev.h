// A TCP or Unix stream socket, as server (one client at a time, the next after it) or client. ip(7), unix(7).
//
// Without a peer output is dropped. Missing: TELNET negotiation, reconnecting clients, TLS.
#pragma once

#include <string>

#include "chardev/fd_chardev.h"

namespace rhea::chardev {

struct SocketAddress {
  std::string host, port;  // TCP
  std::string path;        // Unix; empty: TCP
  std::string text() const;
};

// A listening socket, or one that is connected. Errors name the address.
Result<int> listen_on(const SocketAddress& address);
Result<int> connect_to(const SocketAddress& address);

class SocketChardev final : public FdChardev {
 public:
  struct Options {
    SocketAddress address;
    bool server = false;
    bool wait = true;  // a server waits for its first client before the machine starts
    bool no_delay = false;
  };
  static Result<std::unique_ptr<SocketChardev>> create(async::EventLoop& loop, Options options);
  ~SocketChardev() override;

 protected:
  void hung_up(Side side) override;

 private:
  SocketChardev(async::EventLoop& loop, Options options) : FdChardev(loop), options_(std::move(options)) {}
  Result<> start();
  void accept_client();
  Result<> use(int fd);

  Options options_;
  int listener_ = -1;
  int peer_ = -1;
  std::unique_ptr<async::EventLoop::Watch> listener_watch_;
};

}  // namespace rhea::chardev
