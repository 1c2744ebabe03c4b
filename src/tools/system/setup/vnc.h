// The VNC servers of a machine.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "async/event_loop.h"
#include "display/input.h"
#include "display/screens.h"
#include "display/vnc/servers.h"
#include "tools/system/options/vnc.h"

namespace rhea::system {

// All with the machine lock held.
class VncServers {
 public:
  VncServers(async::EventLoop& loop, display::Screens& screens, display::InputHub& input)
      : loop_(loop), screens_(screens), input_(input) {}
  // Once the devices, and so the screens, are there. Errors name the option.
  Result<> open(const VncOptions& options, const std::string& guest_name);

  // Nothing was asked for and there is no display server: localhost:0 or the next that is free. Says where.
  Result<> open_default(const VncOptions& options, const std::string& guest_name);

  display::vnc::Servers& servers() { return servers_; }

 private:
  async::EventLoop& loop_;
  display::Screens& screens_;
  display::InputHub& input_;
  display::vnc::Servers servers_;
};

}  // namespace rhea::system
