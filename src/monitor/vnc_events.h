// What the monitor has to do with VNC servers besides its commands. Machine lock.
#pragma once

#include <string>

#include "monitor/context.h"

namespace rhea::monitor {

// Programs hear of viewers from now on; `to` outlives the servers.
void forward_vnc_events(display::vnc::Servers& servers, const Context& to);
// No id: of the first server. Errors: there is none, or it asks for no password.
Result<> set_vnc_password(Context& vm, const std::string& id, const std::string& password);

}  // namespace rhea::monitor
