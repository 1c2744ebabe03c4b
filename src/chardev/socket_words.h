// "tcp:HOST:PORT[,server=on|off][,wait=on|off][,nodelay=on|off]" and "unix:PATH[,…]"; "server" and "nowait"
// alone too.
#pragma once

#include <string_view>

#include "chardev/socket_chardev.h"

namespace rhea::chardev {

// An empty host means any address (server) or this machine (client).
Result<SocketChardev::Options> parse_socket_words(std::string_view words);

}  // namespace rhea::chardev
