// The addresses of a user-mode network, from the words of -netdev user.
#pragma once

#include <netinet/in.h>

#include <cstdint>

#include "base/result.h"
#include "net/netdev_options.h"

namespace rhea::net {

struct UserAddresses {
  bool ip4 = true, ip6 = true;
  in_addr net{}, mask{}, host{}, dhcp{}, dns{};
  in6_addr prefix6{}, host6{}, dns6{};
  uint8_t prefix6_length = 64;
};

// Errors: Invalid, naming the key.
Result<UserAddresses> resolve_addresses(const UserOptions& options);
Result<in_addr> parse_ip4(const std::string& text, const char* what);

}  // namespace rhea::net
