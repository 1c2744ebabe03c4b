// A TCP or Unix stream socket, as server (one client at a time, the next after it) or client, which may
// connect again when the connection was lost. With TELNET's commands taken out of the input if asked for.
//
// Without a peer output is dropped. Missing: TLS, websockets.
#pragma once

#include <optional>
#include <string>

#include "chardev/fd_chardev.h"
#include "chardev/socket_address.h"
#include "chardev/telnet.h"

namespace rhea::chardev {

class SocketChardev final : public FdChardev {
 public:
  struct Options {
    SocketAddress address;
    std::optional<int> fd = {};  // one that is open already, instead of the address; becomes ours
    bool server = false;
    bool wait = true;  // a server waits for its first client before the machine starts
    bool no_delay = false;
    bool telnet = false;
    unsigned reconnect_s = 0;  // a client tries again so often; 0: never
  };
  static Result<std::unique_ptr<SocketChardev>> create(async::EventLoop& loop, Options options);
  ~SocketChardev() override;
  std::string description() const override;

 protected:
  void input(std::span<const uint8_t> bytes) override;
  void hung_up(Side side) override;

 private:
  SocketChardev(async::EventLoop& loop, Options options);
  Result<> start();
  Result<> listen();
  void accept_client();
  Result<> use(int fd);
  void try_to_connect();
  void connect_ended();
  void later();

  Options options_;
  int listener_ = -1;
  int peer_ = -1;
  int connecting_ = -1;
  TelnetFilter telnet_;
  std::unique_ptr<async::EventLoop::Watch> listener_watch_;
  std::unique_ptr<async::EventLoop::Watch> connecting_watch_;
  std::unique_ptr<async::Timer> retry_;
};

}  // namespace rhea::chardev
