// The VNC servers of a machine.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "async/event_loop.h"
#include "display/input.h"
#include "display/screens.h"
#include "display/vnc/server.h"
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

  // For the monitor: `info vnc`, and the password of the first server.
  std::string info() const;
  Result<> set_password(const std::string& password);

 private:
  async::EventLoop& loop_;
  display::Screens& screens_;
  display::InputHub& input_;
  std::vector<std::pair<std::string, std::unique_ptr<display::vnc::Server>>> servers_;  // by id
};

}  // namespace rhea::system
