// Sockets of the host by the words of the command line: "HOST:PORT", "[::1]:PORT", ":PORT".
#pragma once

#include <netinet/in.h>

#include <string>

#include "base/result.h"

namespace rhea::net {

struct HostPort {
  std::string host, port;
};
// Errors: Invalid.
Result<HostPort> parse_host_port(const std::string& text);

// Blocking until there is a connection, or an error that names the address.
Result<int> connect_tcp(const std::string& where);
Result<int> listen_tcp(const std::string& where);
// An IPv4 address and port, resolved.
Result<sockaddr_in> resolve_ip4(const std::string& where);
Result<> make_nonblocking(int fd);
// A descriptor that was handed to this process, by number. Errors: Invalid.
Result<int> inherited_descriptor(const std::string& text);

// SAFETY: every socket address begins with the generic one.
template <class T>
sockaddr* generic_address(T& address) {
  return reinterpret_cast<sockaddr*>(&address);
}

}  // namespace rhea::net
