// guestfwd=tcp:…-tcp:HOST:PORT: one connection of the host, made when the machine is, that a port in the
// guest's network leads to. Machine lock held.
#pragma once

#include <netinet/in.h>

#include <deque>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "async/event_loop.h"

namespace rhea::net {

class GuestLine {
 public:
  struct Wiring {
    async::EventLoop& loop;
    std::function<size_t()> room;                         // that the guest's connection has
    std::function<void(std::span<const uint8_t>)> input;  // for the guest, at most room()
  };
  // "HOST:PORT". Errors: the host's, naming it.
  static Result<std::unique_ptr<GuestLine>> connect(Wiring wiring, const std::string& where);
  ~GuestLine();

  // From the guest; how many bytes were taken, -1 when the connection has ended.
  ssize_t write(std::span<const uint8_t> bytes);
  // There may be room again.
  void resume();

 private:
  explicit GuestLine(Wiring wiring) : wiring_(std::move(wiring)) {}
  void readable();
  void update();

  Wiring wiring_;
  int fd_ = -1;
  bool paused_ = false;
  std::unique_ptr<async::EventLoop::Watch> watch_;
};

}  // namespace rhea::net
