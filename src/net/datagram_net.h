// -netdev socket over UDP: a frame a datagram, between two hosts (udp=) or among all members of a multicast
// group (mcast=).
//
// Machine lock held.
#pragma once

#include <netinet/in.h>

#include <memory>
#include <string>
#include <vector>

#include "async/event_loop.h"
#include "net/endpoint.h"

namespace rhea::net {

class DatagramNet final : public Endpoint {
 public:
  // group is ADDRESS:PORT, local the address of the interface or empty. Errors name the address.
  static Result<std::unique_ptr<DatagramNet>> multicast(async::EventLoop& loop, std::string id,
                                                        const std::string& group, const std::string& local);
  static Result<std::unique_ptr<DatagramNet>> unicast(async::EventLoop& loop, std::string id,
                                                      const std::string& remote, const std::string& local);
  // Takes the connected descriptor.
  static Result<std::unique_ptr<DatagramNet>> adopt(async::EventLoop& loop, std::string id, int fd);
  ~DatagramNet() override;

  void receive(Frame frame, const Offload& offload) override;
  void room_again() override;
  std::string info() const override { return "index=0,type=socket," + text_; }

 private:
  DatagramNet(async::EventLoop& loop, std::string id, std::string text)
      : Endpoint(std::move(id)), loop_(loop), text_(std::move(text)) {}
  Result<> start();
  void read();
  bool is_own(const sockaddr_in& from) const;

  async::EventLoop& loop_;
  std::string text_;
  int input_ = -1;
  int output_ = -1;    // multicast: its own, so that what comes back can be told; else the same
  sockaddr_in to_{};   // family 0: connected
  sockaddr_in own_{};  // multicast: where output_ sends from
  std::vector<uint8_t> buffer_;
  std::unique_ptr<async::EventLoop::Watch> watch_;
};

}  // namespace rhea::net
