// What `info vnc` prints, in QEMU's layout.
#pragma once

#include <string>
#include <string_view>

#include "display/vnc/server.h"

namespace rhea::display::vnc {

// The lines of one server.
std::string info_text(std::string_view id, const Server& server);

}  // namespace rhea::display::vnc
