// -netdev tap: a TAP interface of the host's kernel, made here (ifname=, with scripts that bring it up and
// down) or handed over open (fd=). Checksums and large TCP segments pass in both directions as they are where
// the kernel can (IFF_VNET_HDR).
//
// Linux Documentation/networking/tuntap.rst. Missing: several queues, vhost, bridge helpers (all refused).
// Machine lock held.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "async/event_loop.h"
#include "net/endpoint.h"
#include "net/netdev_options.h"

namespace rhea::net {

class TapNet final : public Endpoint {
 public:
  // Errors: Invalid, Unsupported, and the host's. Waits for the script.
  static Result<std::unique_ptr<TapNet>> create(async::EventLoop& loop, std::string id,
                                                const TapOptions& options);
  ~TapNet() override;

  void receive(Frame frame, const Offload& offload) override;
  Takes takes() const override { return {.partial_checksum = vnet_header_, .large = vnet_header_}; }
  void room_again() override;
  std::string info() const override;

 private:
  TapNet(async::EventLoop& loop, std::string id, const TapOptions& options)
      : Endpoint(std::move(id)), loop_(loop), options_(options) {}
  Result<> open_device();
  Result<> take_descriptor();
  Result<> configure();
  void read();

  async::EventLoop& loop_;
  TapOptions options_;
  std::string ifname_;
  int fd_ = -1;
  bool vnet_header_ = false;
  bool down_script_due_ = false;
  std::vector<uint8_t> buffer_;
  std::unique_ptr<async::EventLoop::Watch> watch_;
};

}  // namespace rhea::net
