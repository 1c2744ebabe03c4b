#include "net/hub.h"

#include <fmt/core.h>

#include "base/check.h"

namespace rhea::net {

class Hub::Port final : public Endpoint {
 public:
  Port(Hub& hub, std::string name) : Endpoint(std::move(name)), hub_(hub) {}
  ~Port() override { std::erase(hub_.ports_, this); }

  void receive(Frame frame, const Offload& offload) override {
    for (Endpoint* port : hub_.ports_)
      if (port != this) port->send(frame, offload);
  }
  // Each port's send() does what its own peer cannot.
  Takes takes() const override { return {.partial_checksum = true, .large = true}; }
  std::string info() const override { return fmt::format("index=0,type=hubport,hubid={}", hub_.number_); }

 private:
  Hub& hub_;
};

Hub::~Hub() {
  CHECK(ports_.empty());
}

std::unique_ptr<Endpoint> Hub::make_port(std::string name) {
  if (name.empty()) name = fmt::format("hub{}port{}", number_, next_);
  ++next_;
  auto port = std::make_unique<Port>(*this, std::move(name));
  ports_.push_back(port.get());
  return port;
}

}  // namespace rhea::net
