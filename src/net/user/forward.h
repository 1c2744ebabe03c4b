// The rules of hostfwd= and guestfwd=, as text and taken apart.
#pragma once

#include <netinet/in.h>

#include <string>

#include "base/result.h"

namespace rhea::net {

// "[tcp|udp]:[HOSTADDR]:HOSTPORT-[GUESTADDR]:GUESTPORT"
struct HostForward {
  bool udp = false;
  in_addr host{};  // any
  int host_port = 0;
  in_addr guest{};  // 0.0.0.0: the first address that DHCP gives
  int guest_port = 0;
};
// Errors: Invalid, "Invalid host forwarding rule '…' (…)".
Result<HostForward> parse_host_forward(const std::string& rule);
// Without the guest's part, as hostfwd_remove takes it.
Result<HostForward> parse_host_side(const std::string& rule);

// "[tcp]:SERVER:PORT-TARGET"
struct GuestForward {
  enum class Kind : uint8_t { Command, Unix, Tcp };
  in_addr server{};
  int port = 0;
  Kind kind = Kind::Command;
  std::string target;  // the command, the path, or HOST:PORT
};
Result<GuestForward> parse_guest_forward(const std::string& rule);

}  // namespace rhea::net
