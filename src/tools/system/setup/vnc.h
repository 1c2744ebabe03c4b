// The VNC servers of a machine.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "async/event_loop.h"
#include "audio/backend.h"
#include "display/input.h"
#include "display/screens.h"
#include "display/vnc/servers.h"
#include "tools/system/options/vnc.h"

namespace rhea::system {

// All with the machine lock held.
class VncServers {
 public:
  using FindSound = std::function<Result<audio::Backend*>(const std::string&)>;
  VncServers(async::EventLoop& loop, display::Screens& screens, display::InputHub& input)
      : loop_(loop), screens_(screens), input_(input) {}
  void set_sounds(FindSound find) { find_sound_ = std::move(find); }
  // Once the devices, and so the screens, are there. Errors name the option.
  Result<> open(const VncOptions& options, const std::string& guest_name);

  // Nothing was asked for and there is no display server: localhost:0 or the next that is free. Says where.
  Result<> open_default(const VncOptions& options, const std::string& guest_name);

  display::vnc::Servers& servers() { return servers_; }

 private:
  async::EventLoop& loop_;
  display::Screens& screens_;
  display::InputHub& input_;
  FindSound find_sound_;
  display::vnc::Servers servers_;
};

}  // namespace rhea::system
