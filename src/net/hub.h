// A hub: what comes in at one port goes out at all others (-netdev hubport, -net). Machine lock held.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "net/endpoint.h"

namespace rhea::net {

class Hub {
 public:
  explicit Hub(unsigned number) : number_(number) {}
  ~Hub();

  // A port; when it is destroyed it leaves. `name` empty: "hub0port1".
  std::unique_ptr<Endpoint> make_port(std::string name);
  unsigned number() const { return number_; }
  const std::vector<Endpoint*>& ports() const { return ports_; }

 private:
  class Port;

  unsigned number_;
  unsigned next_ = 0;
  std::vector<Endpoint*> ports_;
};

}  // namespace rhea::net
