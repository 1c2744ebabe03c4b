// -netdev socket over a stream: frames as QEMU frames them, a length in 32 bits, big-endian, before each.
// With listen= one peer at a time, the next after it; with connect= the peer must be there at start.
//
// Machine lock held.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "async/event_loop.h"
#include "net/endpoint.h"

namespace rhea::net {

class StreamNet final : public Endpoint {
 public:
  // Errors name the address.
  static Result<std::unique_ptr<StreamNet>> listen(async::EventLoop& loop, std::string id,
                                                   const std::string& where);
  static Result<std::unique_ptr<StreamNet>> connect(async::EventLoop& loop, std::string id,
                                                    const std::string& where);
  // Takes the connected descriptor.
  static Result<std::unique_ptr<StreamNet>> adopt(async::EventLoop& loop, std::string id, int fd);
  ~StreamNet() override;

  bool can_receive() override { return output_.empty(); }
  void receive(Frame frame, const Offload& offload) override;
  void room_again() override;
  std::string info() const override { return "index=0,type=socket," + text_; }

 private:
  StreamNet(async::EventLoop& loop, std::string id, std::string text)
      : Endpoint(std::move(id)), loop_(loop), text_(std::move(text)) {}
  void accept_peer();
  Result<> use(int fd);
  void hang_up();
  void ready(uint32_t events);
  void read();
  void parse();
  void write_out();
  void update();

  async::EventLoop& loop_;
  std::string text_;
  int listener_ = -1, fd_ = -1;
  bool paused_ = false;
  std::vector<uint8_t> input_, output_;
  std::unique_ptr<async::EventLoop::Watch> listener_watch_, watch_;
};

}  // namespace rhea::net
