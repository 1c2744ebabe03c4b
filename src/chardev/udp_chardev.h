// Datagrams to and from one peer: what is written at once is one datagram, whose loss nobody notices. udp(7).
#pragma once

#include <memory>
#include <vector>

#include "async/event_loop.h"
#include "chardev/chardev.h"
#include "chardev/socket_address.h"

namespace rhea::chardev {

class UdpChardev final : public Chardev {
 public:
  // An empty host of `remote` is this machine; an empty port of `local` is any.
  static Result<std::unique_ptr<UdpChardev>> create(async::EventLoop& loop, const SocketAddress& remote,
                                                    const SocketAddress& local);
  ~UdpChardev() override;
  void attach(Frontend* frontend) override;
  size_t write(std::span<const uint8_t> bytes) override;
  void resume_input() override { deliver(); }
  std::string description() const override { return "udp"; }

 private:
  explicit UdpChardev(int fd) : fd_(fd) {}
  void ready();
  void deliver();

  int fd_;
  std::unique_ptr<async::EventLoop::Watch> watch_;
  Frontend* frontend_ = nullptr;
  std::vector<uint8_t> input_;  // of one datagram: no other is read before it was taken
};

}  // namespace rhea::chardev
